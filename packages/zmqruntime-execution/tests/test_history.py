"""History: unread records are kept, read ones evicted first, all within limits."""

from __future__ import annotations

from typing import Any

import pytest
from driving import error, request
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.execution import InMemoryLifecycleEngine
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.history import HistoryLimits, Tombstone, size_of
from zmqruntime.messages import ExecutionStatus

COMPLETE, FAILED, CANCELLED = (
    ExecutionStatus.COMPLETE,
    ExecutionStatus.FAILED,
    ExecutionStatus.CANCELLED,
)


def engine_with(**limits: Any) -> InMemoryLifecycleEngine:
    return InMemoryLifecycleEngine(limits=HistoryLimits(**limits))


def run(
    engine: InMemoryLifecycleEngine, *names: str, result: bytes = b"1", now: float = 3.0
) -> None:
    for name in names:
        engine.submit(request(name), 1.0)
        engine.start(name, 2.0)
        engine.finish(name, COMPLETE, now, result=result)


def results(engine: InMemoryLifecycleEngine, names: str) -> str:
    """Return the known names, tombstones in capitals."""
    found = [(name, engine.get(name)) for name in names]
    return "".join(n.upper() if e.result_dropped else n for n, e in found if e is not None)


def test_100000_unread_records_of_small_tasks_are_kept() -> None:
    engine = InMemoryLifecycleEngine()
    names = [f"x{n}" for n in range(100_000)]
    run(engine, *names)
    assert engine.counts[COMPLETE] == 100_000
    for name in names:
        execution = engine.get(name)
        assert execution is not None
        assert not execution.result_dropped
        engine.mark_read(name)
    while engine.has_excess:
        engine.evict_more(4.0)
    assert engine.counts[COMPLETE] == 1000


def test_unread_record_beyond_the_hard_limit_leaves_a_tombstone() -> None:
    engine = engine_with(unread_limit=2)
    run(engine, *"abc")
    assert results(engine, "abc") == "Abc"
    left = engine.get("a")
    assert left is not None
    assert (left.status, left.result, left.finished_at, left.sequence) == (COMPLETE, None, 3.0, 3)
    assert left.is_same_work(request("a"))
    assert list(engine.take_dropped()) == ["a"]
    assert engine.counts[COMPLETE] == 2
    engine.mark_read("a")
    assert results(engine, "abc") == "Abc"


def test_read_record_is_evicted_before_an_unread_one() -> None:
    engine = engine_with(history_limit=1, unread_limit=3)
    run(engine, *"abcd"[:3])
    engine.mark_read("b")
    engine.mark_read("c")
    run(engine, "d", "e")
    assert results(engine, "abcde") == "acde"


def test_record_that_is_read_again_is_evicted_later() -> None:
    engine = engine_with(history_limit=2)
    run(engine, *"abc")
    for name in "abac":
        engine.mark_read(name)
    assert results(engine, "abc") == "ac"


def test_tombstones_are_dropped_the_oldest_first() -> None:
    engine = engine_with(unread_limit=1, tombstone_limit=2)
    run(engine, *"abcd")
    assert results(engine, "abcd") == "BCd"


def test_bytes_of_unread_records_are_bounded_except_the_latest() -> None:
    size = 10_000
    engine = engine_with(unread_bytes=3 * size)
    run(engine, "a", "b", result=b"1" * size)
    assert results(engine, "ab") == "ab"
    run(engine, "c", result=b"1" * size)
    assert results(engine, "abc") == "Abc"
    run(engine, "d", result=b"1" * 10 * size)
    assert results(engine, "abcd") == "ABCd"


def test_bytes_of_read_records_are_bounded_except_the_latest() -> None:
    engine = engine_with(history_bytes=30_000)
    run(engine, *"abc", result=b"1" * 10_000)
    for name in "abc":
        engine.mark_read(name)
    assert results(engine, "abc") == "bc"
    run(engine, "d", result=b"1" * 100_000)
    engine.mark_read("d")
    assert results(engine, "abcd") == "d"


def test_excess_of_many_small_records_is_evicted_in_slices() -> None:
    engine = engine_with(unread_bytes=200_000, tombstone_limit=1000)
    names = [f"x{n}" for n in range(100)]
    run(engine, *names)
    assert not engine.has_excess
    run(engine, "large", result=b"1" * 199_000)
    assert engine.has_excess
    assert len(engine.take_dropped()) == 10
    engine.evict_more(4.0)
    assert engine.has_excess
    assert len(engine.take_dropped()) == 50
    engine.evict_more(4.0)
    assert not engine.has_excess
    assert len(engine.take_dropped()) == 40
    assert engine.counts[COMPLETE] == 1


def test_size_of_a_record_includes_its_long_fields() -> None:
    engine = InMemoryLifecycleEngine()
    engine.submit(request("a", labels={"x" * 64: "y" * 1000}), 1.0)
    engine.start("a", 2.0)
    engine.keep_progress("a", [b"p" * 5000], 2.0)
    long = error().model_copy(
        update={"message": "m" * 3000, "traceback": "\N{GRINNING FACE}" * 500}
    )
    execution = engine.finish("a", FAILED, 3.0, error=long)
    assert 12_000 < size_of(execution) < 13_500


def test_tombstone_of_a_failure_keeps_the_beginning_of_its_message() -> None:
    engine = engine_with(unread_limit=1)
    engine.submit(request("a"), 1.0)
    long = error().model_copy(update={"message": "m" * 3000, "traceback": "t" * 3000})
    engine.finish("a", CANCELLED, 3.0, error=long)
    run(engine, "b")
    left = engine.get("a")
    assert left is not None
    assert left.error == long.model_copy(update={"message": "m" * 200, "traceback": None})
    assert left.started_at is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("history_limit", -1),
        ("history_bytes", -1),
        ("history_seconds", -1.0),
        ("unread_limit", 0),
        ("unread_bytes", 1.5),
        ("tombstone_limit", -1),
    ],
)
def test_limit_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        HistoryLimits(**{name: value})


class ListModel:
    """History as lists that are scanned for each operation."""

    def __init__(self, limits: HistoryLimits) -> None:
        self.limits = limits
        self.unread: list[Execution] = []
        self.read: list[Execution] = []
        self.tombstones: list[str] = []

    def end(self, execution: Execution, now: float) -> None:
        self.unread.append(execution)
        self.evict(now)

    def mark_read(self, name: str) -> None:
        for kept in self.unread, self.read:
            for execution in list(kept):
                if execution.execution_id == name:
                    kept.remove(execution)
                    self.read.append(execution)
                    self.evict(float("-inf"))
                    return

    def evict(self, now: float) -> None:
        limits = self.limits
        while self.read and (
            len(self.read) > limits.history_limit
            or (len(self.read) > 1 and sum(map(size_of, self.read)) > limits.history_bytes)
            or self.is_old(self.read[0], now)
        ):
            self.read.pop(0)
        while self.unread and (
            not limits.history_limit
            or len(self.unread) > limits.unread_limit
            or (len(self.unread) > 1 and sum(map(size_of, self.unread)) > limits.unread_bytes)
            or self.is_old(self.unread[0], now)
        ):
            evicted = self.unread.pop(0)
            if limits.history_limit:
                self.tombstones.append(evicted.execution_id)
        del self.tombstones[: max(0, len(self.tombstones) - limits.tombstone_limit)]

    def is_old(self, execution: Execution, now: float) -> bool:
        seconds = self.limits.history_seconds
        return seconds is not None and (execution.finished_at or 0.0) < now - seconds


@given(
    limits=st.builds(
        HistoryLimits,
        history_limit=st.integers(0, 4),
        history_bytes=st.sampled_from([0, 3000, 2**20]),
        history_seconds=st.sampled_from([None, 0.0, 2.5]),
        unread_limit=st.integers(1, 6),
        unread_bytes=st.sampled_from([0, 4000, 2**20]),
        tombstone_limit=st.integers(0, 3),
    ),
    steps=st.lists(
        st.tuples(st.sampled_from(["end", "read", "read"]), st.integers(0, 5000)), max_size=60
    ),
)
def test_history_equals_a_model_of_lists(
    limits: HistoryLimits, steps: list[tuple[str, int]]
) -> None:
    engine, model = InMemoryLifecycleEngine(limits=limits), ListModel(limits)
    names: list[str] = []
    now = 3.0
    for step, number in steps:
        if step == "end":
            names.append(f"x{len(names)}")
            engine.submit(request(names[-1]), 1.0)
            engine.start(names[-1], 2.0)
            now += number % 3
            model.end(engine.finish(names[-1], COMPLETE, now, result=b"1" * number), now)
        elif names:
            name = names[number % len(names)]
            engine.mark_read(name)
            model.mark_read(name)
        while engine.has_excess:
            engine.evict_more(float("-inf"))
        kept = {e.execution_id for e in model.unread + model.read}
        for name in names:
            execution = engine.get(name)
            if name in kept:
                assert execution is not None
                assert not execution.result_dropped
            elif name in model.tombstones:
                assert execution is not None
                assert execution.result_dropped
            else:
                assert execution is None
        assert engine.counts[COMPLETE] == len(kept)


def test_tombstone_survives_a_round_trip() -> None:
    engine = InMemoryLifecycleEngine()
    engine.submit(request("a"), 1.0)
    engine.start("a", 2.0)
    execution = engine.finish("a", FAILED, 3.0, error=error())
    tombstone = Tombstone.of(execution, 7)
    assert Tombstone.of(tombstone.to_execution(), 7) == tombstone
