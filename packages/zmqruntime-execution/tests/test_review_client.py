"""The client's side where it is under stress: late, interrupted, shared, or unlucky."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

import pytest
from asking import SILENCE, record

from zmqruntime.execution import (
    ExecutionClient,
    ExecutionHandle,
    ExecutionStatusPoller,
    ExecutionWaiter,
    ProgressStreamSubscriber,
    QueueFull,
)
from zmqruntime.messages import (
    AcceptedReply,
    CancelRequest,
    ErrorCode,
    ErrorReply,
    ExecuteRequest,
    ExecutionRecord,
    ExecutionStatus,
    OkReply,
    ProgressEvent,
    Reply,
    Request,
    StateEvent,
    UnregisterProgressRequest,
    decode_request,
    encode,
)
from zmqruntime.messages.lowlevel import Outgoing, encode_with_id
from zmqruntime.transport import RequestTimeout, ServerLost, TransportError, ZMQConfig

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


# -- the caller's deadline --------------------------------------------------------------------


def wait(ask: Callable[..., ExecutionRecord], timeout: float | None) -> None:
    ExecutionWaiter(ask).wait("a", timeout)


def follow(ask: Callable[..., ExecutionRecord], timeout: float | None) -> None:
    list(ExecutionStatusPoller(ask).follow("a", timeout))


@pytest.mark.parametrize("use", [wait, follow])
def test_a_silent_server_is_given_a_second_beyond_the_callers_time(
    use: Callable[..., None],
) -> None:
    asked: list[tuple[float, float | None]] = []

    def ask(_: str, hold: float, timeout: float | None) -> ExecutionRecord:
        asked.append((hold, timeout))
        return record(COMPLETE)

    for timeout in (1.0, 1000.0, None):
        use(ask, timeout)
    (hold, beside), *unhurried = asked
    assert beside is not None
    assert 1.5 < hold + beside <= 2.0
    assert [beside for _, beside in unhurried] == [None, None]


def test_execute_gives_a_silent_server_a_second_beyond_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[float | None, float]] = []

    def request(_: object, __: object, timeout: float | None = None, *, hold: float) -> Any:
        asked.append((timeout, hold))
        raise SILENCE

    def outlast(_: object, error: TransportError, __: object) -> None:
        raise error

    monkeypatch.setattr(ExecutionClient, "request", request)
    monkeypatch.setattr(ExecutionClient, "outlast", outlast)
    monkeypatch.setattr(ExecutionClient, "pong", SimpleNamespace(process=None))
    with pytest.raises(RequestTimeout):
        ExecutionClient(7777).execute({}, timeout=1.0)
    ((beside, hold),) = asked
    assert beside is not None
    assert 1.5 < hold + beside <= 2.0


# -- progress, for whoever reads it -----------------------------------------------------------


class Asked:
    """Stands for a connected client: subscribes to nothing, and hands on what a test says."""

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

    def say(self, *events: ProgressEvent | StateEvent) -> None:
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
    answer: ExecutionRecord, asked: Asked | None = None, *, own_stream: bool = False
) -> tuple[ExecutionHandle, Asked]:
    asked = asked or Asked()
    subscriber = ProgressStreamSubscriber(cast(ExecutionClient, asked), "me")
    client = SimpleNamespace(
        open_stream=lambda execution_id, _: subscriber.open_stream(execution_id),
        get_record=lambda _, **_options: answer,
        read_kept_events=lambda _: [],
    )
    stream = subscriber.open_stream("a", from_start=True) if own_stream else None
    return ExecutionHandle(cast(ExecutionClient, client), "a", stream), asked


def test_a_lost_end_is_yielded_last_though_no_progress_was_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmqruntime.execution.client.handle._CHECK_SECONDS", 0.0)
    handle, asked = make_handle(record(CANCELLED), own_stream=True)
    asked.say(state(1, QUEUED), state(2, RUNNING))
    *before, end = handle.progress()
    assert before == [state(1, QUEUED), state(2, RUNNING)]
    assert isinstance(end, StateEvent)
    assert (end.status, end.sequence) == (CANCELLED, 3)


def test_the_latest_report_is_not_repeated_by_an_event() -> None:
    handle, asked = make_handle(record(RUNNING, progress=progress(5)))
    events = handle.progress()
    assert next(events) == progress(5)
    asked.say(progress(4), progress(5), progress(6), state(7, COMPLETE))
    assert list(events) == [progress(6), state(7, COMPLETE)]


def test_each_of_two_readers_gets_every_event() -> None:
    handle, asked = make_handle(record(RUNNING, progress=progress(1)))
    one, other = handle.progress(), handle.progress()
    assert next(one) == next(other) == progress(1)
    told: list[ProgressEvent | StateEvent] = [progress(2), progress(3), state(4, COMPLETE)]
    asked.say(*told)
    assert list(one) == list(other) == told


def test_what_came_before_a_late_subscriber_is_not_missed() -> None:
    asked = Asked()
    late = ProgressStreamSubscriber(cast(ExecutionClient, asked), "me")
    asked.say(progress(50), progress(53))
    assert late.missed == 2
    late.open_stream("b", from_start=True)
    asked.say(progress(3, "b"))
    assert late.missed == 4


def test_what_is_watched_for_gaps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqruntime.execution.client.gap_detection._MAX_WATCHED", 3)
    asked = Asked()
    subscriber = ProgressStreamSubscriber(cast(ExecutionClient, asked), "me")
    asked.say(*(progress(1, name) for name in "abcadef"))
    watched = subscriber._order._sequences.unfinished()
    assert [name for name, _ in watched] == ["d", "e", "f"]


def test_a_client_that_disconnects_does_not_wait_for_a_callback() -> None:
    asked = Asked()
    client = ExecutionClient(7777)
    client._subscriptions._subscribers["me"] = ProgressStreamSubscriber(
        cast(ExecutionClient, asked), "me"
    )
    client._before_close()
    assert isinstance(asked.requests[-1], UnregisterProgressRequest)
    assert asked.subscriber.calls == ["stop"]


# -- many at once -----------------------------------------------------------------------------


def test_an_interrupted_submission_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted: list[str] = []
    cancelled: list[str] = []

    def pipeline(_: object, requests: Iterable[Any], **__: object) -> Iterator[Any]:
        for request in requests:
            if isinstance(request, CancelRequest):
                cancelled.append(request.execution_id)
                yield request, OkReply()
                continue
            accepted.append(request.execution_id)
            if len(accepted) == 70:
                raise KeyboardInterrupt
            yield request, AcceptedReply(execution_id=request.execution_id, queue_position=1)

    monkeypatch.setattr(ExecutionClient, "pipeline", pipeline)
    with pytest.raises(KeyboardInterrupt):
        ExecutionClient(7777).submit_many([{}] * 70)
    assert len(accepted) == 70
    assert cancelled == accepted[::-1]


class Line:
    """Stands for the connection of a client: answers requests in their order, one by one."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[ExecuteRequest], Reply]
    ) -> None:
        self.tries = 0
        self.executed: list[str] = []
        self.cancelled: list[str] = []
        self._answer = answer
        monkeypatch.setattr(ExecutionClient, "pipeline", self._pipeline)
        monkeypatch.setattr(ExecutionClient, "outlast", lambda *_: None)
        monkeypatch.setattr(ExecutionClient, "pong", SimpleNamespace(process=None, durable=False))

    def _pipeline(
        self, requests: Iterable[Outgoing | None], *, hold: float, window: int
    ) -> Iterator[tuple[Outgoing, Reply]]:
        self.tries += 1
        source = iter(requests)
        under_way: deque[Outgoing] = deque()
        while True:
            while len(under_way) < window and (request := next(source, None)) is not None:
                under_way.append(request)
            if not under_way:
                return
            request = under_way.popleft()
            heard = decode_request(encode_with_id(request, "1"))
            if isinstance(heard, CancelRequest):
                self.cancelled.append(heard.execution_id)
                yield request, OkReply()
            else:
                assert isinstance(heard, ExecuteRequest)
                self.executed.append(heard.execution_id or "")
                yield request, self._answer(heard)


def accept(request: ExecuteRequest) -> AcceptedReply:
    return AcceptedReply(execution_id=request.execution_id or "", queue_position=1)


FULL = ErrorReply(code=ErrorCode.QUEUE_FULL, message="it is full")


def test_cancels_follow_what_was_sent_down_the_same_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = Line(monkeypatch, lambda r: FULL if r.task["n"] == 0 else accept(r))
    with pytest.raises(QueueFull):
        ExecutionClient(7777).submit_many({"n": n} for n in range(200))
    assert line.tries == 1
    # The refused one is not cancelled, nor what never went out.
    assert line.cancelled == line.executed[:0:-1]
    assert len(line.cancelled) == 63


@pytest.mark.parametrize("ending", ["is refused", "is closed", "is interrupted"])
def test_what_waits_for_its_reply_is_cancelled_behind_it(
    monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    line = Line(monkeypatch, lambda r: FULL if r.task["n"] == "refused" else accept(r))

    def tasks() -> Iterator[dict[str, Any]]:
        yield from ({"n": n} for n in range(3))
        if ending == "is interrupted":
            raise KeyboardInterrupt
        yield {"n": "refused" if ending == "is refused" else 3}
        yield from ({"n": n} for n in range(100))

    following = ExecutionClient(7777).follow_many(tasks(), window=3)
    yielded = [handle.execution_id for handle, _ in islice(following, 1)]
    if ending == "is closed":
        following.close()
    else:
        with pytest.raises((QueueFull, KeyboardInterrupt)):
            yielded.extend(handle.execution_id for handle, _ in following)
    assert line.tries == 1
    refused = line.executed[3:4] if ending == "is refused" else []
    assert line.executed[0] == yielded[0]
    assert line.cancelled == sorted(
        set(line.executed) - {*yielded, *refused}, key=line.executed.index, reverse=True
    )


@pytest.mark.parametrize("error", [RequestTimeout("silence"), ServerLost("gone")])
def test_a_server_that_answers_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    answers = iter([True, False, False, True, False, False, False])

    def answer(request: ExecuteRequest) -> Reply:
        if not next(answers):
            raise error
        return accept(request)

    line = Line(monkeypatch, answer)
    with pytest.raises(type(error)):
        list(ExecutionClient(7777).follow_many(({"n": n} for n in range(9)), window=1))
    assert line.tries == 5
    assert line.cancelled == []
