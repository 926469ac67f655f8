"""Progress reports that arrive together are sent together, with the same events in order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.execution import (
    InMemoryLifecycleEngine,
    ProgressReported,
    TaskReturned,
    TaskRunner,
    WorkerReady,
)
from zmqruntime.execution.lifecycle.events import (
    ExecutionEvent,
    ProgressReport,
    StateChange,
    compose_event,
    compose_messages,
)
from zmqruntime.execution.lowlevel import Dispatcher, Scheduler, Transport
from zmqruntime.execution.worker.framing import MessageReader, encode_message
from zmqruntime.execution.worker.protocol import PROGRESS, RETURNED, group_reports
from zmqruntime.messages import (
    ExecuteRequest,
    ExecutionStatus,
    ProgressEvent,
    StateEvent,
    decode_event,
    decode_events,
)
from zmqruntime.transport import Caller

MAX_EVENTS = 8
MAX_BYTES = 16 * 1024

sizes = st.integers(0, 50) | st.integers(0, 20_000)


def in_one(events: Sequence[bytes]) -> bytes:
    """Return events as one frame, as for a subscriber that takes arrays."""
    return b"[%b]" % b",".join(events) if len(events) > 1 else events[0]


def report(sequence: int, size: int = 0) -> ProgressReport:
    return ProgressReport(sequence, 5.0, b'{"completed":1,"message":"%b"}' % (b"x" * size))


@given(st.lists(sizes, max_size=40))
def test_each_event_is_in_one_message_and_in_order(lengths: list[int]) -> None:
    events = [report(n, size) for n, size in enumerate(lengths, 1)]
    frames = [in_one(together) for together in compose_messages("a", events)]
    batches = [list(decode_events(frame)) for frame in frames]
    assert [event for batch in batches for event in batch] == [
        decode_event(compose_event("a", event)) for event in events
    ]
    for frame, batch in zip(frames, batches, strict=True):
        assert len(batch) <= MAX_EVENTS
        assert len(frame) <= MAX_BYTES or len(batch) == 1
    for batch, following in pairwise(batches):  # The next event exceeds a limit.
        together = [compose_event("a", events[e.sequence - 1]) for e in (*batch, following[0])]
        assert len(batch) == MAX_EVENTS or len(in_one(together)) > MAX_BYTES


@pytest.mark.parametrize("before", [0, MAX_EVENTS])
@pytest.mark.parametrize(("size", "messages"), [(MAX_BYTES, 1), (MAX_BYTES + 1, 2)])
def test_message_is_filled_up_to_its_limit(size: int, messages: int, before: int) -> None:
    full = [report(0)] * before
    rest = size - len(in_one([compose_event("a", report(n)) for n in (1, 2)]))
    batches = list(compose_messages("a", [*full, report(1), report(2, rest)]))[-messages:]
    assert [len(together) for together in batches] == ([2] if messages == 1 else [1, 1])


def test_state_event_may_be_between_reports() -> None:
    moved = StateChange(2, 6.0, ExecutionStatus.RUNNING, 1.0, 6.0, None)
    (together,) = compose_messages("a", [report(1), moved, report(3)])
    assert [(event.type, event.sequence) for event in map(decode_event, together)] == [
        ("progress", 1),
        ("state", 2),
        ("progress", 3),
    ]


class Listener(Transport):
    """Collects published events, from the messages that would be sent."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent | StateEvent] = []
        self.handled_events = 0

    def send_reply(self, caller: Caller, frame: bytes) -> None: ...

    def publish_events(
        self, client_id: str, execution_id: str, events: Sequence[ExecutionEvent]
    ) -> None:
        for together in compose_messages(execution_id, events):
            self.events += decode_events(in_one(together))

    def exit(self, failure: str | None) -> None:
        raise AssertionError(failure)

    def handled(self, event: object) -> None:
        self.handled_events += 1


class Worker(TaskRunner):
    def open(self, host: object) -> None: ...
    def start_worker(self, slot: int = 0) -> None: ...
    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None: ...
    def interrupt(self, execution_id: str, slot: int = 0) -> None: ...
    def kill_worker(self, slot: int = 0) -> None: ...
    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[()]:
        return ()

    def close(self) -> None: ...


@given(
    tasks=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 700), max_size=30),
)
def test_each_report_is_published_once_in_order_for_any_cuts_of_the_stream(
    tasks: list[int], cuts: list[int]
) -> None:
    listener = Listener()
    dispatcher = Dispatcher(Scheduler(InMemoryLifecycleEngine()), Worker(), listener)
    dispatcher.start()
    dispatcher.handle(WorkerReady())
    stream = b""
    for n, reports in enumerate(tasks):
        request = ExecuteRequest(task={}, client_id="lab", execution_id=f"x{n}")
        dispatcher.handle_request(request, Caller((b"peer", b""), "1", n))
        for completed in range(1, reports + 1):
            stream += encode_message(PROGRESS, f"x{n}", b'{"completed":%d}' % completed)
            if completed == 7:  # From a process that another task has left.
                stream += encode_message(PROGRESS, "x9", b"{}")
        stream += encode_message(RETURNED, f"x{n}", b"null")
    reader = MessageReader()
    while stream:
        size = cuts.pop() if cuts else 4096
        for group in group_reports(reader.feed(stream[:size])):
            name = group[0].execution_id
            if group[0].kind == PROGRESS:
                dispatcher.handle(ProgressReported(name, tuple(one.body for one in group)))
            else:
                dispatcher.handle(TaskReturned(name, group[0].body))
        stream = stream[size:]
    for n, reports in enumerate(tasks):
        events = [event for event in listener.events if event.execution_id == f"x{n}"]
        assert [event.sequence for event in events] == list(range(1, reports + 4))
        counts = [event.completed for event in events if isinstance(event, ProgressEvent)]
        assert counts == list(range(1, reports + 1))
        assert isinstance(events[-1], StateEvent)


def test_reports_that_arrive_together_are_one_event_for_the_scheduler() -> None:
    data = b"".join(encode_message(PROGRESS, "a", b"{}") for _ in range(50))
    messages = MessageReader().feed(data)
    messages += MessageReader().feed(encode_message(RETURNED, "a", b"1") * 2)
    assert [len(group) for group in group_reports(messages)] == [50, 1, 1]
