"""`ExecutionHandle.progress` over a real subscriber, without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from scripted_status import record

from zmqruntime.execution import (
    ExecutionClient,
    ExecutionHandle,
    ProgressStreamSubscriber,
)
from zmqruntime.messages import (
    ExecutionRecord,
    ExecutionStatus,
    OkReply,
    ProgressEvent,
    Request,
    StateEvent,
    UnregisterProgressRequest,
    encode,
)
from zmqruntime.transport import ZMQConfig

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


class ScriptedClient:
    """Test double of a connected client that publishes events of the test."""

    config = ZMQConfig()

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.subscriber = SimpleNamespace(calls=[], stop=self._stop, close=self._close)
        self.on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None]

    def _stop(self) -> None:
        self.subscriber.calls.append("stop")

    def _close(self) -> None:
        self.subscriber.calls.append("close")

    def subscribe(self, _: object, on_messages: Any, *__: object) -> Any:
        self.on_messages = on_messages
        return self.subscriber

    def request(
        self, request: Request, timeout: float | None = None, *, hold: float = 0.0
    ) -> OkReply:
        self.requests.append(request)
        return OkReply()

    def publish(self, *events: ProgressEvent | StateEvent) -> None:
        self.on_messages([(b"me/a", encode(event)) for event in events])


def progress(sequence: int, execution_id: str = "a") -> ProgressEvent:
    return ProgressEvent(execution_id=execution_id, sequence=sequence, timestamp=1.0)


def state(sequence: int, status: ExecutionStatus) -> StateEvent:
    finished = 1.0 if status.is_terminal else None
    return StateEvent(
        execution_id="a",
        sequence=sequence,
        timestamp=1.0,
        status=status,
        submitted_at=1.0,
        finished_at=finished,
    )


def make_handle(
    found: ExecutionRecord, *, own_stream: bool = False
) -> tuple[ExecutionHandle, ScriptedClient]:
    connection = ScriptedClient()
    subscriber = ProgressStreamSubscriber(cast(ExecutionClient, connection), "me")
    client = SimpleNamespace(
        open_stream=lambda execution_id, _: subscriber.open_stream(execution_id),
        get_record=lambda _, **_options: found,
        read_kept_events=lambda _: [],
    )
    stream = subscriber.open_stream("a", from_start=True) if own_stream else None
    return ExecutionHandle(cast(ExecutionClient, client), "a", stream), connection


def test_lost_terminal_event_is_reconstructed_behind_the_last_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmqruntime.execution.client.handle._CHECK_SECONDS", 0.0)
    handle, client = make_handle(record(CANCELLED), own_stream=True)
    client.publish(state(1, QUEUED), state(2, RUNNING))
    *before, end = handle.progress()
    assert before == [state(1, QUEUED), state(2, RUNNING)]
    assert isinstance(end, StateEvent)
    assert (end.status, end.sequence) == (CANCELLED, 3)


def test_event_of_the_latest_progress_is_not_repeated() -> None:
    handle, client = make_handle(record(RUNNING, progress=progress(5)))
    events = handle.progress()
    assert next(events) == progress(5)
    client.publish(progress(4), progress(5), progress(6), state(7, COMPLETE))
    assert list(events) == [progress(6), state(7, COMPLETE)]


def test_two_readers_both_receive_every_event() -> None:
    handle, client = make_handle(record(RUNNING, progress=progress(1)))
    one, other = handle.progress(), handle.progress()
    assert next(one) == next(other) == progress(1)
    published: list[ProgressEvent | StateEvent] = [progress(2), progress(3), state(4, COMPLETE)]
    client.publish(*published)
    assert list(one) == list(other) == published


def test_missed_events_of_a_client_are_the_sum_of_its_subscribers() -> None:
    client = ExecutionClient(7777)
    assert client.missed_events == 0
    for client_id, sequence in (("me", 3), ("desk", 6)):
        connection = ScriptedClient()
        client._progress_subscribers._by_client[client_id] = ProgressStreamSubscriber(
            cast(ExecutionClient, connection), client_id
        )
        connection.publish(progress(1), progress(sequence))
    assert client.missed_events == 5


def test_disconnect_stops_subscribers_without_joining_them() -> None:
    connection = ScriptedClient()
    client = ExecutionClient(7777)
    client._progress_subscribers._by_client["me"] = ProgressStreamSubscriber(
        cast(ExecutionClient, connection), "me"
    )
    client._before_close()
    assert isinstance(connection.requests[-1], UnregisterProgressRequest)
    assert connection.subscriber.calls == ["stop"]
