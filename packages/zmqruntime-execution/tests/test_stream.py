"""`EventStream`: a bounded buffer between two threads."""

from __future__ import annotations

import threading

from zmqruntime.execution.client.stream import EventStream, StreamGroup
from zmqruntime.messages import ProgressEvent


def event(n: int) -> ProgressEvent:
    return ProgressEvent(execution_id="a", sequence=n, timestamp=1.0)


def test_events_are_taken_in_order() -> None:
    stream = EventStream()
    for n in (1, 2, 3):
        stream.put([event(n)])
    assert stream.take(0) == [event(1), event(2), event(3)]
    assert stream.take(0) == []


def test_put_wakes_a_waiting_reader() -> None:
    stream = EventStream()
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(stream.take(60)))
    reader.start()
    stream.put([event(1)])
    reader.join(60)
    assert got == [[event(1)]]


def test_check_request_wakes_a_waiting_reader() -> None:
    stream = EventStream()
    got: list[object] = ["nothing yet"]
    reader = threading.Thread(target=lambda: got.append(stream.take(60)))
    reader.start()
    stream.request_check()
    reader.join(60)
    assert got == ["nothing yet", []]


def test_check_request_is_kept_for_the_next_take_only() -> None:
    stream = EventStream()
    stream.request_check()
    assert stream.take(60) == []
    stream.put([event(1)])
    assert stream.take(60) == [event(1)]


def test_closed_stream_does_not_block() -> None:
    group = StreamGroup()
    stream = group.open()
    stream.put([event(1)])
    group.close()
    assert stream.closed
    assert stream.take(60) == [event(1)]
    assert stream.take(60) == []
    assert stream.take(60) == []


def test_events_come_before_a_check_request() -> None:
    stream = EventStream()
    stream.put([event(1)])
    stream.request_check()
    assert stream.take(60) == [event(1)]
    assert stream.take(60) == []


def test_full_stream_drops_the_oldest_events() -> None:
    stream = EventStream()
    for n in range(1, 20_001):
        stream.put([event(n)])
    events = stream.take(0)
    assert 5000 < len(events) < 15_000
    assert events[-1] == event(20_000)
