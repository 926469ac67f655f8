"""`ExecutionHandle`: status, result, cancel and progress of one execution."""

from __future__ import annotations

from typing import Any, cast

import pytest
from scripted_status import record

from zmqruntime.execution import (
    ExecutionCancelled,
    ExecutionClient,
    ExecutionFailed,
    ExecutionHandle,
    WaitPolicy,
    WaitTimeout,
)
from zmqruntime.execution.client.stream import EventStream
from zmqruntime.messages import ExecutionRecord, ExecutionStatus, ProgressEvent, StateEvent
from zmqruntime.transport import NotConnected, RequestTimeout, ServerLost, TransportError

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


class Client:
    """Test double of a client; the test sets the replies."""

    def __init__(self, *records: ExecutionRecord | BaseException) -> None:
        self.records = list(records)
        self.requests: list[tuple[Any, ...]] = []
        self.stream = EventStream()
        self.is_restarted = False
        self.kept: list[ProgressEvent | StateEvent] = []

    def _next(self) -> ExecutionRecord:
        answer = self.records.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def get_record(self, execution_id: str, *, timeout: float | None = None) -> ExecutionRecord:
        self.requests.append(("record", execution_id))
        return self._next()

    def wait_for_completion(self, *arguments: Any) -> ExecutionRecord:
        self.requests.append(("wait", *arguments))
        return self._next()

    def cancel_execution(self, execution_id: str) -> ExecutionStatus:
        self.requests.append(("cancel", execution_id))
        return RUNNING

    def open_stream(self, execution_id: str, submitter: str | None = None) -> EventStream:
        self.requests.append(("stream", execution_id))
        return self.stream

    def read_kept_events(self, execution_id: str) -> list[ProgressEvent | StateEvent]:
        self.requests.append(("events", execution_id))
        return self.kept

    def outlast(self, error: ServerLost | RequestTimeout) -> None:
        if not self.is_restarted:
            raise error

    def handle(self, stream: EventStream | None = None) -> ExecutionHandle:
        return ExecutionHandle(cast("ExecutionClient", self), "a", stream)


def progress(sequence: int) -> ProgressEvent:
    return ProgressEvent(execution_id="a", sequence=sequence, timestamp=1.0)


def ended(sequence: int, status: ExecutionStatus = COMPLETE) -> StateEvent:
    return StateEvent(
        execution_id="a",
        sequence=sequence,
        timestamp=2.0,
        status=status,
        submitted_at=1.0,
        finished_at=2.0,
    )


def moved(sequence: int, status: ExecutionStatus) -> StateEvent:
    return ended(sequence, status).model_copy(update={"finished_at": None})


def filled(*events: ProgressEvent | StateEvent) -> EventStream:
    stream = EventStream()
    for event in events:
        stream.put([event])
    return stream


def test_final_status_is_requested_once() -> None:
    client = Client(record(QUEUED), record(RUNNING), record(COMPLETE))
    handle = client.handle()
    assert [handle.status().status for _ in range(5)] == [QUEUED, RUNNING, *[COMPLETE] * 3]
    assert len(client.requests) == 3


def test_done_is_true_in_every_terminal_state() -> None:
    for status in ExecutionStatus:
        assert Client(record(status)).handle().done() is status.is_terminal


def test_result_is_requested_once() -> None:
    client = Client(record(COMPLETE, result={"n": 1}))
    handle = client.handle()
    assert handle.result(timeout=5.0) == {"n": 1}
    assert handle.result() == {"n": 1}
    assert handle.status().status is COMPLETE
    assert client.requests == [("wait", "a", None, 5.0)]


def test_policy_is_passed_to_the_wait() -> None:
    client = Client(record(COMPLETE))
    policy = WaitPolicy(poll_interval=5.0)
    client.handle().wait(3.0, policy)
    assert client.requests == [("wait", "a", policy, 3.0)]


def test_result_of_a_failed_execution_raises_with_its_record() -> None:
    with pytest.raises(ExecutionFailed) as caught:
        Client(record(FAILED)).handle().result()
    assert caught.value.record == record(FAILED)


def test_result_of_a_cancelled_execution_raises_execution_cancelled() -> None:
    with pytest.raises(ExecutionCancelled):
        Client(record(CANCELLED)).handle().result()


def test_wait_returns_the_record_of_a_failed_execution() -> None:
    assert Client(record(FAILED)).handle().wait() == record(FAILED)


@pytest.mark.parametrize("error", [WaitTimeout("still running"), ServerLost("gone")])
def test_result_can_be_requested_again_after_an_error(error: Exception) -> None:
    handle = Client(error, record(COMPLETE, result=1)).handle()
    with pytest.raises(type(error)):
        handle.result()
    assert handle.result() == 1


def test_cancel_names_this_execution() -> None:
    client = Client()
    assert client.handle().cancel() is RUNNING
    assert client.requests == [("cancel", "a")]


def test_repr_has_the_execution_id() -> None:
    assert repr(Client().handle()) == "<ExecutionHandle a>"


def test_progress_with_a_callback_yields_every_event_since_the_submit() -> None:
    events: list[ProgressEvent | StateEvent] = [progress(3), progress(4), ended(5)]
    client = Client()
    assert list(client.handle(filled(*events)).progress()) == events
    assert client.requests == []


def test_progress_without_a_callback_starts_with_the_latest_progress() -> None:
    client = Client(record(RUNNING, progress=progress(7)))
    client.stream = filled(progress(7), progress(8), ended(9))
    assert list(client.handle().progress()) == [progress(7), progress(8), ended(9)]
    # The subscription comes first, so that no event in between is missed.
    assert client.requests == [("stream", "a"), ("record", "a"), ("events", "a")]


@pytest.mark.parametrize(
    ("kept", "first"),
    [
        ([moved(1, QUEUED)], [moved(1, QUEUED)]),
        ([moved(1, QUEUED), moved(2, RUNNING)], [moved(2, RUNNING)]),
        (
            [moved(1, QUEUED), moved(2, RUNNING), progress(3), progress(4)],
            [moved(2, RUNNING), progress(4)],
        ),
        ([moved(2, RUNNING), progress(3), moved(4, QUEUED)], [moved(4, QUEUED)]),
    ],
)
def test_late_progress_starts_with_the_present_state_and_the_latest_progress_since(
    kept: list[ProgressEvent | StateEvent], first: list[ProgressEvent | StateEvent]
) -> None:
    client = Client(record(QUEUED, progress=progress(3)))
    client.kept = kept
    client.stream = filled(*kept, ended(9))
    assert list(client.handle().progress()) == [*first, ended(9)]


def test_evicted_state_event_is_reconstructed_from_the_record() -> None:
    client = Client(record(RUNNING, started_at=5.0, progress=progress(7)))
    client.kept = [progress(6), progress(7), progress(8)]
    client.stream = filled(progress(8), ended(9))
    state, *others = client.handle().progress()
    assert isinstance(state, StateEvent)
    assert (state.sequence, state.status, state.started_at) == (5, RUNNING, 5.0)
    assert others == [progress(8), ended(9)]


def test_end_between_the_status_and_the_events_request_is_yielded_once() -> None:
    client = Client(record(RUNNING))
    client.kept = [moved(1, QUEUED), moved(2, RUNNING), progress(3), ended(4)]
    client.stream = filled(progress(3), ended(4))
    assert list(client.handle().progress()) == [progress(3), ended(4)]


def test_progress_of_an_ended_execution_yields_the_latest_progress_and_the_end() -> None:
    client = Client(record(FAILED, progress=progress(7)))
    latest, event = client.handle().progress()
    assert latest == progress(7)
    assert event == ended(8, FAILED)


def test_second_progress_call_starts_with_the_present_state() -> None:
    client = Client(record(RUNNING))
    handle = client.handle(filled(ended(3)))
    client.stream = filled(ended(3))
    assert list(handle.progress()) == [ended(3)]
    assert list(handle.progress()) == [ended(3)]
    assert client.requests == [("stream", "a"), ("record", "a"), ("events", "a")]


def test_lost_terminal_event_is_reconstructed_from_the_record() -> None:
    client = Client(record(COMPLETE, progress=progress(9)))
    stream = filled(progress(3))
    following = client.handle(stream).progress()
    assert next(following) == progress(3)
    stream.request_check()
    assert list(following) == [ended(10)]


def test_status_check_of_a_running_execution_yields_nothing() -> None:
    client = Client(record(RUNNING), record(RUNNING))
    stream = EventStream()
    stream.request_check()
    following = client.handle(stream).progress()
    stream.put([progress(3)])
    assert next(following) == progress(3)
    stream.request_check()
    stream.put([ended(4)])
    assert list(following) == [ended(4)]


def test_terminal_event_that_arrives_during_a_status_check_is_yielded_once() -> None:
    class Slow(Client):
        def get_record(self, execution_id: str, *, timeout: float | None = None) -> ExecutionRecord:
            stream.put([ended(4)])
            return super().get_record(execution_id)

    stream = EventStream()
    stream.request_check()
    assert list(Slow(record(COMPLETE)).handle(stream).progress()) == [ended(4)]


def test_loss_of_the_server_is_raised_by_progress() -> None:
    stream = EventStream()
    stream.request_check()
    with pytest.raises(ServerLost):
        next(Client(ServerLost("gone"), ServerLost("gone")).handle(stream).progress())


@pytest.mark.parametrize("error", [ServerLost("gone"), RequestTimeout("silent")])
def test_status_request_is_retried_when_the_server_has_returned(error: TransportError) -> None:
    client = Client(error, record(RUNNING, progress=progress(7)))
    client.is_restarted = True
    client.stream = filled(ended(8))
    assert list(client.handle().progress()) == [progress(7), ended(8)]


def test_progress_of_a_closed_stream_raises_not_connected() -> None:
    client = Client(record(RUNNING))
    client.stream.put([progress(1)])
    client.stream.close()
    events = client.handle(client.stream).progress()
    assert next(events) == progress(1)
    with pytest.raises(NotConnected, match="execution a was running: it continues"):
        next(events)


def test_closed_stream_still_yields_the_terminal_event() -> None:
    client = Client(record(COMPLETE))
    client.stream.close()
    assert [event.status for event in client.handle(client.stream).progress()] == [COMPLETE]  # type: ignore[union-attr]
