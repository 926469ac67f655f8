"""Contract of a lifecycle engine's queue: order, priorities, fairness, pages and retries."""

from __future__ import annotations

import random

import pytest

from zmqruntime.execution import LifecycleEngine, QueuePolicy
from zmqruntime.messages import AttemptInfo, ErrorKind, ExecutionErrorInfo, ExecutionStatus
from zmqruntime.testing.contracts.engine_fixtures import EngineFixtures

__all__ = ["QueueContract"]

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

_FAILED_ONCE = AttemptInfo(
    attempt=1,
    started_at=2.0,
    finished_at=3.0,
    error=ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message="it was late"),
)
_WALK_STEPS = 60


class QueueContract(EngineFixtures):
    """Tests the order of the queue under both policies, and of requeued executions."""

    # -- order ------------------------------------------------------------------------------

    def test_new_engine_is_empty(self, engine: LifecycleEngine) -> None:
        assert engine.peek() is None
        assert engine.get("a") is None
        assert engine.queued_count == 0
        assert engine.list_queued(10) == ([], None)
        assert list(engine.list_running()) == []
        assert dict(engine.counts) == dict.fromkeys(ExecutionStatus, 0)

    def test_queue_is_ordered_by_arrival(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "b", "a", "c")
        assert [e.execution_id for _, e in engine.list_queued(10).entries] == ["b", "a", "c"]
        first = engine.peek()
        assert first is not None
        assert first.execution_id == "b"

    def test_positions_close_up_after_a_removal(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a", "b", "c", "d")
        engine.finish("b", CANCELLED, 2.0)
        assert [engine.position(name) for name in "acd"] == [1, 2, 3]
        engine.start("a", 2.0)
        assert [engine.position(name) for name in "cd"] == [1, 2]
        assert engine.queued_count == 2

    def test_peek_does_not_change_the_queue(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        assert engine.peek() is engine.peek()
        assert engine.queued_count == 1

    def test_queue_is_listed_in_pages(self, engine: LifecycleEngine) -> None:
        self.submit(engine, *"abcde")
        assert self.read_queue(engine, 2) == [*"abcde"]

    def test_cursor_stays_valid_when_the_queue_changes(self, engine: LifecycleEngine) -> None:
        self.submit(engine, *"abcde")
        cursor = engine.list_queued(2).cursor
        engine.start("a", 2.0)
        engine.finish("b", CANCELLED, 2.0)
        assert [(p, e.execution_id) for p, e in engine.list_queued(2, cursor).entries] == [
            (1, "c"),
            (2, "d"),
        ]

    def test_page_with_limit_0_is_empty(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        assert engine.list_queued(0) == ([], None)

    @pytest.mark.parametrize("cursor", ["", "5", "x:1:1", "r:1:-1", "r:nan:1", "r:1:1:1", "r:٣:1"])
    def test_invalid_cursor_is_rejected(self, engine: LifecycleEngine, cursor: str) -> None:
        with pytest.raises(ValueError, match="cursor"):
            engine.list_queued(1, cursor)

    # -- attempts -----------------------------------------------------------------------------

    def test_requeued_execution_keeps_its_place(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a", "b")
        engine.start("a", 2.0)
        again = engine.requeue("a", failed=_FAILED_ONCE)
        assert (again.status, again.attempt, again.started_at) == (QUEUED, 2, None)
        assert again.attempts == (_FAILED_ONCE,)
        assert self.read_queue(engine) == ["a", "b"]
        assert engine.peek() is again

    def test_requeue_without_a_failure_keeps_the_attempt(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        engine.request_cancel("a")
        again = engine.requeue("a")
        assert (again.attempt, again.attempts, again.cancel_requested) == (1, (), False)

    def test_delayed_execution_is_behind_all_others(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "late", "soon", "a", "b")
        for name, retry_at in (("late", 20.5), ("soon", 10.5)):
            engine.start(name, 2.0)
            engine.requeue(name, failed=_FAILED_ONCE, retry_at=retry_at)
        assert self.read_queue(engine) == ["a", "b", "soon", "late"]
        assert [engine.position(name) for name in ("a", "b", "soon", "late")] == [1, 2, 3, 4]
        assert [e.execution_id for e in engine.list_delayed()] == ["soon", "late"]
        assert engine.list_delayed()[0].retry_at == 10.5
        engine.release("late")
        assert self.read_queue(engine) == ["late", "a", "b", "soon"]
        assert engine.queued_count == 4

    @pytest.mark.parametrize("limit", [1, 2, 3, 5])
    def test_pages_continue_with_delayed_executions(
        self, engine: LifecycleEngine, limit: int
    ) -> None:
        self.submit(engine, *"abcde")
        for name, retry_at in (("a", 10.5), ("b", 1e-7), ("c", 1.7e9)):
            engine.start(name, 2.0)
            engine.requeue(name, failed=_FAILED_ONCE, retry_at=retry_at)
        assert self.read_queue(engine, limit) == ["d", "e", "b", "a", "c"]

    def test_delayed_execution_is_not_next_before_its_time(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        engine.requeue("a", failed=_FAILED_ONCE, retry_at=10.5)
        assert engine.peek() is None
        assert engine.queued_count == 1
        assert engine.finish("a", CANCELLED, 3.0).retry_at is None
        assert list(engine.list_delayed()) == []

    # -- turns --------------------------------------------------------------------------------

    def test_later_execution_of_higher_priority_is_first(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        self.submit(engine, "b", priority=1)
        assert engine.peek() is engine.get("b")

    def test_queue_is_ordered_by_priority(self, engine: LifecycleEngine) -> None:
        for name, priority in (("a", 0), ("low", -5), ("high", 5), ("b", 0), ("higher", 6)):
            self.submit(engine, name, priority=priority)
        expected = ["higher", "high", "a", "b", "low"]
        assert self.read_queue(engine) == self.read_queue(engine, 2) == expected
        assert [engine.position(name) for name in expected] == [1, 2, 3, 4, 5]

    def test_clients_take_turns_under_the_fair_policy(self) -> None:
        engine = self.make_engine(1000, QueuePolicy.FAIR)
        self.submit(engine, "a1", "a2", "a3", client_id="a")
        engine.start("a1", 2.0)
        self.submit(engine, "b1", "b2", client_id="b")
        self.submit(engine, "c1", client_id="c")
        assert self.read_queue(engine) == ["a2", "b1", "c1", "a3", "b2"]
        self.submit(engine, "a0", client_id="a", priority=1)
        assert self.read_queue(engine, 2) == ["a0", "b1", "c1", "a2", "b2", "a3"]
        engine.finish("a0", CANCELLED, 2.0)
        assert self.read_queue(engine) == ["a2", "b1", "c1", "a3", "b2"]

    def test_immediate_resubmission_gives_no_extra_turns(self) -> None:
        engine = self.make_engine(1000, QueuePolicy.FAIR)
        self.submit(engine, *(f"many{n}" for n in range(9)), client_id="many")
        ran: list[str] = []
        for n in range(8):
            if n % 2 == 0:
                self.submit(engine, f"one{n}", client_id="one")
            execution = engine.peek()
            assert execution is not None
            engine.start(execution.execution_id, 2.0)
            ran.append(execution.client_id)
        assert ran.count("one") == ran.count("many") == 4

    def test_new_clients_do_not_starve_a_waiting_client(self) -> None:
        engine = self.make_engine(1000, QueuePolicy.FAIR)
        self.submit(engine, "a1", "a2", "a3", client_id="a")
        ran: list[str] = []
        for n in range(20):
            self.submit(engine, f"once{n}", client_id=f"client{n}")
            execution = engine.peek()
            assert execution is not None
            engine.start(execution.execution_id, 2.0)
            ran.append(execution.execution_id)
        assert [name for name in ran if name.startswith("a")] == ["a1", "a2", "a3"]

    @pytest.mark.parametrize("seed", range(10))
    def test_positions_and_pages_agree_with_the_start_order(self, seed: int) -> None:
        engine = self.make_engine(1000, QueuePolicy.FAIR)
        generator = random.Random(seed)
        for n in range(_WALK_STEPS):
            queue = self.read_queue(engine)
            step = generator.choice(["submit", "submit", "start", "cancel"])
            if step == "submit":
                client, priority = generator.choice("abc"), generator.randint(-1, 1)
                self.submit(engine, f"x{n}", client_id=client, priority=priority)
            elif step == "start" and queue:
                first = engine.peek()
                assert first is not None
                assert first.execution_id == queue[0]
                engine.start(queue[0], 2.0)
                assert self.read_queue(engine) == queue[1:]
            elif step == "cancel" and queue:
                engine.finish(generator.choice(queue), CANCELLED, 2.0)
            queue = self.read_queue(engine)
            assert self.read_queue(engine, 2) == queue
            assert [engine.position(name) for name in queue] == list(range(1, len(queue) + 1))
