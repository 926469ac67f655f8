"""Contract of a lifecycle engine's history: retention, eviction and counts of ended executions."""

from __future__ import annotations

import random

import pytest

from zmqruntime.execution import LifecycleEngine
from zmqruntime.messages import (
    ErrorKind,
    ExecutionErrorInfo,
    ExecutionStatus,
)
from zmqruntime.testing.contracts.engine_fixtures import EngineFixtures, make_request

__all__ = ["HistoryContract"]

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

_WALK_STEPS = 80


class HistoryContract(EngineFixtures):
    """Tests which records of ended executions an engine keeps, and which it evicts."""

    def test_history_keeps_the_last_read_records(self) -> None:
        engine = self.make_engine(history_limit=2)
        self.run_and_read(engine, *"abcd")
        assert [name for name in "abcd" if engine.get(name)] == ["c", "d"]
        assert engine.counts[COMPLETE] == 2

    def test_unread_records_are_not_evicted(self) -> None:
        engine = self.make_engine(history_limit=2)
        self.run_to_end(engine, *"abcd")
        self.run_and_read(engine, *"efgh")
        assert [name for name in "abcdefgh" if engine.get(name)] == [*"abcdgh"]
        results = [engine.get(name) for name in "abcd"]
        assert all(e is not None and e.result == b"1" for e in results)

    def test_eviction_is_in_the_order_of_first_reads(self) -> None:
        engine = self.make_engine(history_limit=2)
        self.run_to_end(engine, *"abc")
        for name in "cab":
            engine.mark_read(name)
        assert [name for name in "abc" if engine.get(name)] == ["a", "b"]

    def test_second_read_delays_eviction(self) -> None:
        engine = self.make_engine(history_limit=2)
        self.run_and_read(engine, "a", "b")
        engine.mark_read("a")
        self.run_and_read(engine, "c")
        assert [name for name in "abc" if engine.get(name)] == ["a", "c"]

    def test_mark_read_of_an_unfinished_execution_does_nothing(
        self, engine: LifecycleEngine
    ) -> None:
        self.submit(engine, "waits")
        engine.mark_read("unknown")
        engine.mark_read("waits")
        assert engine.position("waits") == 1

    def test_ended_execution_is_evicted_immediately_without_history(self) -> None:
        engine = self.make_engine(history_limit=0)
        self.submit(engine, "a")
        assert engine.finish("a", CANCELLED, 2.0).status is CANCELLED
        assert engine.get("a") is None
        assert dict(engine.counts) == dict.fromkeys(ExecutionStatus, 0)

    def test_unfinished_executions_are_never_evicted(self) -> None:
        engine = self.make_engine(history_limit=0)
        self.submit(engine, "runs", "waits")
        engine.start("runs", 2.0)
        self.run_to_end(engine, "x", "y")
        assert engine.get("runs") is not None
        assert engine.get("waits") is not None

    def test_expired_records_are_evicted_when_an_execution_ends(self) -> None:
        engine = self.make_engine(1000, history_seconds=10.0)
        for name, ended_at in (("old", 5.0), ("new", 6.0), ("now", 15.5)):
            self.submit(engine, name)
            engine.finish(name, CANCELLED, ended_at)
            engine.mark_read(name)
        assert [name for name in ("old", "new", "now") if engine.get(name)] == ["new", "now"]

    def test_expired_unread_record_keeps_its_outcome(self) -> None:
        engine = self.make_engine(1000, history_seconds=10.0)
        error = ExecutionErrorInfo(kind=ErrorKind.TIMEOUT, message="too long", traceback="x" * 999)
        self.submit(engine, "failed", labels={"a": "b"})
        engine.start("failed", 2.0)
        engine.finish("failed", FAILED, 5.0, error=error)
        self.submit(engine, "complete")
        engine.start("complete", 5.0)
        engine.finish("complete", COMPLETE, 6.0, result=b"1")
        self.submit(engine, "now")
        engine.finish("now", CANCELLED, 16.5)
        assert set(engine.take_dropped()) == {"failed", "complete"}
        assert engine.counts[FAILED] == engine.counts[COMPLETE] == 0
        failed, complete = engine.get("failed"), engine.get("complete")
        assert failed is not None
        assert complete is not None
        for left in failed, complete:
            assert (left.result_dropped, left.result, left.labels) == (True, None, {})
        assert (complete.status, complete.started_at, complete.finished_at) == (COMPLETE, 5.0, 6.0)
        assert failed.status is FAILED
        assert failed.error == ExecutionErrorInfo(kind=ErrorKind.TIMEOUT, message="too long")
        # Its fingerprint is kept.
        assert failed.is_same_work(make_request("failed", labels={"a": "b"}))
        assert not failed.is_same_work(make_request("failed"))

    def test_evicted_ids_are_returned_once(self) -> None:
        engine = self.make_engine(1)
        self.run_and_read(engine, *"abc")
        assert list(engine.take_dropped()) == ["a", "b"]
        assert list(engine.take_dropped()) == []

    def test_evicted_id_can_be_reused(self) -> None:
        engine = self.make_engine(history_limit=0)
        self.run_to_end(engine, "a")
        self.submit(engine, "a")
        assert engine.position("a") == 1
        assert engine.start("a", 4.0).sequence == 2

    @pytest.mark.parametrize("history_limit", range(4))
    @pytest.mark.parametrize("seed", range(10))
    def test_counts_match_the_kept_executions(self, seed: int, history_limit: int) -> None:
        engine = self.make_engine(history_limit)
        generator = random.Random(seed)
        names: list[str] = []
        read: set[str] = set()
        for n in range(_WALK_STEPS):
            queued = [e.execution_id for _, e in engine.list_queued(100).entries]
            running = [e.execution_id for e in engine.list_running()]
            step = generator.choice(["submit", "start", "cancel", "complete", "fail", "read"])
            if step == "submit":
                names.append(f"x{n}")
                self.submit(engine, names[-1])
            elif step == "start" and queued:
                engine.start(queued[0], 2.0)
            elif step == "cancel" and queued:
                engine.finish(queued[-1], CANCELLED, 3.0)
            elif step in ("complete", "fail") and running:
                engine.finish(running[0], COMPLETE if step == "complete" else FAILED, 3.0)
            elif step == "read" and names:
                name = generator.choice(names)
                known = engine.get(name)
                if known is not None and known.status.is_terminal:
                    engine.mark_read(name)
                    read.add(name)
            kept = [e for name in names if (e := engine.get(name)) is not None]
            for status in ExecutionStatus:
                assert engine.counts[status] == sum(e.status is status for e in kept)
            ended = [e.execution_id for e in kept if e.status.is_terminal]
            assert len(read.intersection(ended)) <= history_limit
            places = [engine.position(e.execution_id) for e in kept if e.status is QUEUED]
            assert places == list(range(1, len(places) + 1))
