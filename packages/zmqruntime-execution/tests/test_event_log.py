"""The event log: the latest events of each execution, bounded in number and size."""

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


def test_take_returns_events_after_a_number_up_to_a_limit() -> None:
    log = EventLog()
    fill(log, "a", 9)
    assert numbers(log, "a", 3) == [4, 5, 6, 7, 8, 9]
    assert numbers(log, "a", 3, limit=2) == [4, 5]
    assert numbers(log, "a", 9) == []
    assert numbers(log, "a", 50) == []
    assert numbers(log, "b") == []


def test_event_log_keeps_the_latest_events_and_at_most_an_eighth_more() -> None:
    log = EventLog(kept=100)
    for count in range(1, 1000):
        log.extend("a", [report(count)])
        kept_numbers = numbers(log, "a")
        assert kept_numbers == list(range(kept_numbers[0], count + 1))
        assert min(count, 100) <= len(kept_numbers) <= 112
        assert log.first_kept("a") == kept_numbers[0]


def test_event_log_of_zero_events_is_empty() -> None:
    log = EventLog(kept=0)
    fill(log, "a", 5)
    assert numbers(log, "a") == []
    assert log.first_kept("a") is None


def test_negative_number_of_events_is_rejected() -> None:
    with pytest.raises(ValueError, match="events_kept is -1: it has to be at least 0"):
        EventLog(kept=-1)


def test_dropped_events_free_their_room() -> None:
    log = EventLog(max_bytes=10_000)
    fill(log, "a", 20)
    log.drop("a")
    log.drop("a")
    assert numbers(log, "a") == []
    fill(log, "b", 30)
    assert len(numbers(log, "b")) == 30


def test_least_recently_updated_execution_is_evicted_first() -> None:
    log = EventLog(max_bytes=100_000)
    for name in "abc":
        fill(log, name, 10, size=2750)
    log.extend("a", [report(11, 2750)])
    fill(log, "d", 10, size=2750)
    assert numbers(log, "b") == []
    assert numbers(log, "a")[-1] == 11
    assert len(numbers(log, "d")) == 10


def test_execution_with_many_large_events_keeps_the_latest() -> None:
    log = EventLog(kept=1000, max_bytes=1_000_000)
    fill(log, "a", 500, size=30_000)
    kept_numbers = numbers(log, "a")
    assert kept_numbers[-1] == 500
    assert 15 <= len(kept_numbers) <= 34


def test_events_in_a_batch_are_kept_like_single_ones() -> None:
    # One pair is limited by the number of events, the other by size: to ten events.
    for kept, max_bytes, size in ((100, 50_000, 0), (1000, 100_000, 10_000)):
        one_by_one, together = (EventLog(kept=kept, max_bytes=max_bytes) for _ in range(2))
        for log in (one_by_one, together):
            fill(log, "idle", 5)
        for first in range(1, 300, 3):
            reports = [report(first + n, size) for n in range(3)]
            for each in reports:
                one_by_one.extend("a", [each])
            together.extend("a", reports)
            latest = min(kept, 4)
            assert numbers(together, "a")[-latest:] == numbers(one_by_one, "a")[-latest:]
        assert abs(len(numbers(together, "a")) - len(numbers(one_by_one, "a"))) <= max(3, kept // 2)
        assert numbers(together, "idle") == numbers(one_by_one, "idle")
        assert size * len(numbers(together, "a")) <= max_bytes


def test_events_of_one_execution_are_bounded_and_evict_no_others() -> None:
    log = EventLog(kept=1000, max_bytes=10_000_000, max_execution_bytes=1_000_000)
    fill(log, "other", 10, size=30_000)
    for sequence in range(1, 2001):
        log.extend("flood", [report(sequence, 30_000)])
        kept_numbers = numbers(log, "flood")
        assert kept_numbers == list(range(kept_numbers[0], sequence + 1))
        assert len(kept_numbers) <= 64 or 30_000 * len(kept_numbers) <= 1_000_000
    assert len(kept_numbers) >= 16
    assert numbers(log, "other") == list(range(1, 11))


def test_accounted_size_is_the_size_of_the_kept_events() -> None:
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
