"""One execution in its client's hands."""

from __future__ import annotations

from typing import Any, cast

import pytest
from asking import record

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
    """A client whose server's answers the test gives."""

    def __init__(self, *records: ExecutionRecord | BaseException) -> None:
        self.records = list(records)
        self.asked: list[tuple[Any, ...]] = []
        self.stream = EventStream()
        self.is_back = False
        self.kept: list[ProgressEvent | StateEvent] = []

    def _next(self) -> ExecutionRecord:
        answer = self.records.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def get_record(self, execution_id: str, *, timeout: float | None = None) -> ExecutionRecord:
        self.asked.append(("record", execution_id))
        return self._next()

    def wait_for_completion(self, *arguments: Any) -> ExecutionRecord:
        self.asked.append(("wait", *arguments))
        return self._next()

    def cancel_execution(self, execution_id: str) -> ExecutionStatus:
        self.asked.append(("cancel", execution_id))
        return RUNNING

    def open_stream(self, execution_id: str, submitter: str | None = None) -> EventStream:
        self.asked.append(("stream", execution_id))
        return self.stream

    def read_kept_events(self, execution_id: str) -> list[ProgressEvent | StateEvent]:
        self.asked.append(("events", execution_id))
        return self.kept

    def outlast(self, error: ServerLost | RequestTimeout) -> None:
        if not self.is_back:
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


def test_its_status_is_asked_until_it_is_final() -> None:
    client = Client(record(QUEUED), record(RUNNING), record(COMPLETE))
    handle = client.handle()
    assert [handle.status().status for _ in range(5)] == [QUEUED, RUNNING, *[COMPLETE] * 3]
    assert len(client.asked) == 3


def test_done_is_to_have_ended_in_whatever_way() -> None:
    for status in ExecutionStatus:
        assert Client(record(status)).handle().done() is status.is_terminal


def test_the_result_is_waited_for_once() -> None:
    client = Client(record(COMPLETE, result={"n": 1}))
    handle = client.handle()
    assert handle.result(timeout=5.0) == {"n": 1}
    assert handle.result() == {"n": 1}
    assert handle.status().status is COMPLETE
    assert client.asked == [("wait", "a", None, 5.0)]


def test_a_policy_is_handed_on() -> None:
    client = Client(record(COMPLETE))
    policy = WaitPolicy(poll_interval=5.0)
    client.handle().wait(3.0, policy)
    assert client.asked == [("wait", "a", policy, 3.0)]


def test_a_failure_is_raised_with_its_record() -> None:
    with pytest.raises(ExecutionFailed) as caught:
        Client(record(FAILED)).handle().result()
    assert caught.value.record == record(FAILED)


def test_a_cancelled_one_is_raised_as_such() -> None:
    with pytest.raises(ExecutionCancelled):
        Client(record(CANCELLED)).handle().result()


def test_to_wait_is_not_to_judge() -> None:
    assert Client(record(FAILED)).handle().wait() == record(FAILED)


@pytest.mark.parametrize("error", [WaitTimeout("still running"), ServerLost("gone")])
def test_what_is_not_known_is_raised_and_may_be_asked_again(error: Exception) -> None:
    handle = Client(error, record(COMPLETE, result=1)).handle()
    with pytest.raises(type(error)):
        handle.result()
    assert handle.result() == 1


def test_a_cancel_is_of_this_one() -> None:
    client = Client()
    assert client.handle().cancel() is RUNNING
    assert client.asked == [("cancel", "a")]


def test_it_says_which_it_is() -> None:
    assert repr(Client().handle()) == "<ExecutionHandle a>"


def test_its_own_stream_has_every_event_since_the_submit() -> None:
    events: list[ProgressEvent | StateEvent] = [progress(3), progress(4), ended(5)]
    client = Client()
    assert list(client.handle(filled(*events)).progress()) == events
    assert client.asked == []


def test_without_a_callback_it_begins_with_the_latest_that_is_known() -> None:
    client = Client(record(RUNNING, progress=progress(7)))
    client.stream = filled(progress(7), progress(8), ended(9))
    assert list(client.handle().progress()) == [progress(7), progress(8), ended(9)]
    # It listens before it looks, so that nothing happens in between.
    assert client.asked == [("stream", "a"), ("record", "a"), ("events", "a")]


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
def test_late_it_begins_with_the_present_state_and_the_latest_progress_since(
    kept: list[ProgressEvent | StateEvent], first: list[ProgressEvent | StateEvent]
) -> None:
    client = Client(record(QUEUED, progress=progress(3)))
    client.kept = kept
    client.stream = filled(*kept, ended(9))
    assert list(client.handle().progress()) == [*first, ended(9)]


def test_where_the_state_is_not_kept_any_more_the_record_tells_it() -> None:
    client = Client(record(RUNNING, started_at=5.0, progress=progress(7)))
    client.kept = [progress(6), progress(7), progress(8)]
    client.stream = filled(progress(8), ended(9))
    state, *others = client.handle().progress()
    assert isinstance(state, StateEvent)
    assert (state.sequence, state.status, state.started_at) == (5, RUNNING, 5.0)
    assert others == [progress(8), ended(9)]


def test_what_ended_while_it_looked_is_told_once() -> None:
    client = Client(record(RUNNING))
    client.kept = [moved(1, QUEUED), moved(2, RUNNING), progress(3), ended(4)]
    client.stream = filled(progress(3), ended(4))
    assert list(client.handle().progress()) == [progress(3), ended(4)]


def test_of_what_has_ended_the_end_is_told() -> None:
    client = Client(record(FAILED, progress=progress(7)))
    latest, event = client.handle().progress()
    assert latest == progress(7)
    assert event == ended(8, FAILED)


def test_a_second_reader_begins_with_the_latest() -> None:
    client = Client(record(RUNNING))
    handle = client.handle(filled(ended(3)))
    client.stream = filled(ended(3))
    assert list(handle.progress()) == [ended(3)]
    assert list(handle.progress()) == [ended(3)]
    assert client.asked == [("stream", "a"), ("record", "a"), ("events", "a")]


def test_when_the_end_itself_was_lost_the_record_tells_it() -> None:
    client = Client(record(COMPLETE, progress=progress(9)))
    stream = filled(progress(3))
    following = client.handle(stream).progress()
    assert next(following) == progress(3)
    stream.disturb()
    assert list(following) == [ended(10)]


def test_a_disturbance_without_a_loss_is_none() -> None:
    client = Client(record(RUNNING), record(RUNNING))
    stream = EventStream()
    stream.disturb()
    following = client.handle(stream).progress()
    stream.put([progress(3)])
    assert next(following) == progress(3)
    stream.disturb()
    stream.put([ended(4)])
    assert list(following) == [ended(4)]


def test_the_end_that_arrives_while_it_looks_is_told_once() -> None:
    class Slow(Client):
        def get_record(self, execution_id: str, *, timeout: float | None = None) -> ExecutionRecord:
            stream.put([ended(4)])
            return super().get_record(execution_id)

    stream = EventStream()
    stream.disturb()
    assert list(Slow(record(COMPLETE)).handle(stream).progress()) == [ended(4)]


def test_a_lost_server_is_raised_to_who_reads() -> None:
    stream = EventStream()
    stream.disturb()
    with pytest.raises(ServerLost):
        next(Client(ServerLost("gone"), ServerLost("gone")).handle(stream).progress())


@pytest.mark.parametrize("error", [ServerLost("gone"), RequestTimeout("silent")])
def test_a_server_that_is_back_is_asked_again(error: TransportError) -> None:
    client = Client(error, record(RUNNING, progress=progress(7)))
    client.is_back = True
    client.stream = filled(ended(8))
    assert list(client.handle().progress()) == [progress(7), ended(8)]


def test_a_stream_that_was_closed_is_not_waited_for_though_a_request_still_gets_through() -> None:
    client = Client(record(RUNNING))
    client.stream.put([progress(1)])
    client.stream.close()
    events = client.handle(client.stream).progress()
    assert next(events) == progress(1)
    with pytest.raises(NotConnected, match=r"the client was disconnected, .* goes on: a$"):
        next(events)


def test_the_end_is_told_though_the_stream_was_closed_before() -> None:
    client = Client(record(COMPLETE))
    client.stream.close()
    assert [event.status for event in client.handle(client.stream).progress()] == [COMPLETE]  # type: ignore[union-attr]
