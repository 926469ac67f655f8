"""The latest events are kept, in order, and in no more memory than is allowed."""

from __future__ import annotations

import pytest

from zmqruntime.execution import ProgressReport
from zmqruntime.execution.core.event_log import EventLog


def report(sequence: int, size: int = 2) -> ProgressReport:
    return ProgressReport(sequence, 1.0, b"x" * size)


def fill(log: EventLog, execution_id: str, count: int, size: int = 2) -> None:
    for sequence in range(1, count + 1):
        log.extend(execution_id, [report(sequence, size)])


def numbers(log: EventLog, execution_id: str, after: int = 0, limit: int = 10_000) -> list[int]:
    return [event.sequence for event in log.take(execution_id, after, limit)]


def size_of(log: EventLog, execution_id: str) -> int:
    events = log.take(execution_id, 0, 10_000)
    return sum(250 + len(event.body) for event in events if isinstance(event, ProgressReport))


def test_what_is_behind_a_number_is_told_up_to_a_limit() -> None:
    log = EventLog()
    fill(log, "a", 9)
    assert numbers(log, "a", 3) == [4, 5, 6, 7, 8, 9]
    assert numbers(log, "a", 3, limit=2) == [4, 5]
    assert numbers(log, "a", 9) == []
    assert numbers(log, "a", 50) == []
    assert numbers(log, "b") == []


def test_the_latest_are_kept_so_many_at_least_and_hardly_more() -> None:
    log = EventLog(kept=100)
    for count in range(1, 1000):
        log.extend("a", [report(count)])
        there = numbers(log, "a")
        assert there == list(range(there[0], count + 1))
        assert min(count, 100) <= len(there) <= 112
        assert log.first_kept("a") == there[0]


def test_none_is_kept_when_none_is_wanted() -> None:
    log = EventLog(kept=0)
    fill(log, "a", 5)
    assert numbers(log, "a") == []
    assert log.first_kept("a") is None


def test_a_number_below_none_is_refused() -> None:
    with pytest.raises(ValueError, match="events_kept is -1: it has to be at least 0"):
        EventLog(kept=-1)


def test_what_is_forgotten_is_gone_and_its_room_is_free() -> None:
    log = EventLog(max_bytes=10_000)
    fill(log, "a", 20)
    log.drop("a")
    log.drop("a")
    assert numbers(log, "a") == []
    fill(log, "b", 30)
    assert len(numbers(log, "b")) == 30


def test_beyond_its_memory_those_go_that_were_silent_the_longest() -> None:
    log = EventLog(max_bytes=100_000)
    for name in "abc":
        fill(log, name, 10, size=2750)
    log.extend("a", [report(11, 2750)])
    fill(log, "d", 10, size=2750)
    assert numbers(log, "b") == []
    assert numbers(log, "a")[-1] == 11
    assert len(numbers(log, "d")) == 10


def test_one_that_floods_with_large_events_keeps_the_latest() -> None:
    log = EventLog(kept=1000, max_bytes=1_000_000)
    fill(log, "a", 500, size=30_000)
    there = numbers(log, "a")
    assert there[-1] == 500
    assert 15 <= len(there) <= 34


def test_what_comes_together_is_kept_as_if_it_had_come_one_by_one() -> None:
    # The number is its limit, in one of them, and in the other its memory: ten of them.
    for kept, max_bytes, size in ((100, 50_000, 0), (1000, 100_000, 10_000)):
        one_by_one, together = (EventLog(kept=kept, max_bytes=max_bytes) for _ in range(2))
        for log in (one_by_one, together):
            fill(log, "silent", 5)
        for first in range(1, 300, 3):
            reports = [report(first + n, size) for n in range(3)]
            for each in reports:
                one_by_one.extend("a", [each])
            together.extend("a", reports)
            latest = min(kept, 4)
            assert numbers(together, "a")[-latest:] == numbers(one_by_one, "a")[-latest:]
        assert abs(len(numbers(together, "a")) - len(numbers(one_by_one, "a"))) <= max(3, kept // 2)
        assert numbers(together, "silent") == numbers(one_by_one, "silent")
        assert size * len(numbers(together, "a")) <= max_bytes


def test_one_execution_keeps_no_more_than_its_part_and_takes_nothing_from_others() -> None:
    log = EventLog(kept=1000, max_bytes=10_000_000, max_execution_bytes=1_000_000)
    fill(log, "other", 10, size=30_000)
    for sequence in range(1, 2001):
        log.extend("flood", [report(sequence, 30_000)])
        there = numbers(log, "flood")
        assert there == list(range(there[0], sequence + 1))
        assert len(there) <= 64 or 30_000 * len(there) <= 1_000_000
    assert len(there) >= 16
    assert numbers(log, "other") == list(range(1, 11))


def test_the_size_that_is_counted_is_the_size_of_what_is_kept() -> None:
    log = EventLog(kept=100, max_bytes=3_000_000, max_execution_bytes=500_000)
    for sequence in range(1, 500):
        for name in "abc":
            log.extend(name, [report(sequence, 40 * sequence)])
        if sequence % 97 == 0:
            log.drop("b")
        sizes = {name: size_of(log, name) for name in "abc"}
        assert log._bytes == sum(sizes.values())
        assert all(log._sizes[name] == sizes[name] for name in log._sizes)
    for name in "abc":
        log.drop(name)
    assert log._bytes == 0
    assert not log._sizes
