"""Events from one thread to another, in order, never more than so many."""

from __future__ import annotations

import threading

from zmqruntime.execution.client.stream import EventStream, StreamGroup
from zmqruntime.messages import ProgressEvent


def event(n: int) -> ProgressEvent:
    return ProgressEvent(execution_id="a", sequence=n, timestamp=1.0)


def test_what_was_put_is_got_in_order() -> None:
    stream = EventStream()
    for n in (1, 2, 3):
        stream.put([event(n)])
    assert stream.take(0) == [event(1), event(2), event(3)]
    assert stream.take(0) == []


def test_a_reader_that_waits_gets_what_comes() -> None:
    stream = EventStream()
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(stream.take(60)))
    reader.start()
    stream.put([event(1)])
    reader.join(60)
    assert got == [[event(1)]]


def test_a_reader_that_waits_is_woken_up_to_look_elsewhere() -> None:
    stream = EventStream()
    got: list[object] = ["nothing yet"]
    reader = threading.Thread(target=lambda: got.append(stream.take(60)))
    reader.start()
    stream.disturb()
    reader.join(60)
    assert got == ["nothing yet", []]


def test_a_disturbance_is_not_lost_when_nobody_waits_and_is_told_once() -> None:
    stream = EventStream()
    stream.disturb()
    assert stream.take(60) == []
    stream.put([event(1)])
    assert stream.take(60) == [event(1)]


def test_a_stream_that_is_closed_keeps_nobody_waiting_any_more() -> None:
    group = StreamGroup()
    stream = group.open()
    stream.put([event(1)])
    group.close()
    assert stream.closed
    assert stream.take(60) == [event(1)]
    assert stream.take(60) == []
    assert stream.take(60) == []


def test_events_come_before_the_disturbance() -> None:
    stream = EventStream()
    stream.put([event(1)])
    stream.disturb()
    assert stream.take(60) == [event(1)]
    assert stream.take(60) == []


def test_a_reader_that_never_reads_costs_a_bounded_amount() -> None:
    stream = EventStream()
    for n in range(1, 20_001):
        stream.put([event(n)])
    events = stream.take(0)
    assert 5000 < len(events) < 15_000
    assert events[-1] == event(20_000)
