"""What every lifecycle engine promises, and what the one in memory does beyond it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import pytest
from driving import error, record_of, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journals import quick_engine
from turns import Turns

from zmqruntime.execution import (
    IllegalTransition,
    InMemoryLifecycleEngine,
    JournalLifecycleEngine,
    LifecycleEngine,
    ProgressReport,
    QueuePolicy,
)
from zmqruntime.messages import (
    AttemptInfo,
    ErrorKind,
    ExecutionErrorInfo,
    ExecutionStatus,
    ProgressEvent,
    decode_request,
    encode_json,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


of_each_engine = settings(suppress_health_check=[HealthCheck.differing_executors])
"""A promise of all engines is one test, for several classes."""


def attempt() -> AttemptInfo:
    return AttemptInfo(attempt=1, started_at=2.0, finished_at=3.0, error=error())


class EngineContract(ABC):
    """The promises of `LifecycleEngine`. To be inherited by the tests of each engine."""

    @abstractmethod
    def make_engine(
        self,
        history_limit: int,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
        *,
        history_seconds: float | None = None,
    ) -> LifecycleEngine:
        """Return a new, empty engine."""

    @pytest.fixture
    def engine(self) -> LifecycleEngine:
        return self.make_engine(1000)

    @staticmethod
    def submit(engine: LifecycleEngine, *execution_ids: str, **fields: Any) -> None:
        for execution_id in execution_ids:
            engine.submit(request(execution_id, **fields), 1.0)

    # -- order ------------------------------------------------------------------------------

    def test_a_new_one_is_empty(self, engine: LifecycleEngine) -> None:
        assert engine.peek() is None
        assert engine.get("a") is None
        assert engine.queued_count == 0
        assert engine.list_queued(10) == ([], None)
        assert list(engine.list_running()) == []
        assert dict(engine.counts) == dict.fromkeys(ExecutionStatus, 0)

    def test_what_came_first_is_first(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "b", "a", "c")
        assert [e.execution_id for _, e in engine.list_queued(10).entries] == ["b", "a", "c"]
        first = engine.peek()
        assert first is not None
        assert first.execution_id == "b"

    def test_places_close_up_wherever_one_leaves(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a", "b", "c", "d")
        engine.finish("b", CANCELLED, 2.0)
        assert [engine.position(name) for name in "acd"] == [1, 2, 3]
        engine.start("a", 2.0)
        assert [engine.position(name) for name in "cd"] == [1, 2]
        assert engine.queued_count == 2

    def test_looking_at_the_first_takes_nothing(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        assert engine.peek() is engine.peek()
        assert engine.queued_count == 1

    def test_the_queue_is_listed_page_by_page(self, engine: LifecycleEngine) -> None:
        self.submit(engine, *"abcde")
        places: list[tuple[int, str]] = []
        cursor = None
        while True:
            page, cursor = engine.list_queued(2, cursor)
            assert len(page) <= 2
            places += [(place, e.execution_id) for place, e in page]
            if cursor is None:
                break
        assert places == [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]

    def test_a_page_goes_on_where_the_last_one_ended_though_the_queue_moved(
        self, engine: LifecycleEngine
    ) -> None:
        self.submit(engine, *"abcde")
        cursor = engine.list_queued(2).cursor
        engine.start("a", 2.0)
        engine.finish("b", CANCELLED, 2.0)
        assert [(p, e.execution_id) for p, e in engine.list_queued(2, cursor).entries] == [
            (1, "c"),
            (2, "d"),
        ]

    def test_a_page_of_nothing_is_empty(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        assert engine.list_queued(0) == ([], None)

    # -- moves ------------------------------------------------------------------------------

    def test_a_submitted_one_has_all_that_its_request_said(self, engine: LifecycleEngine) -> None:
        asked = request("a", client_id="c", task={"x": 1}, labels={"l": "1"}, timeout_seconds=5.0)
        execution = engine.submit(asked, 7.5)
        record = record_of(execution, 1)
        assert (record.execution_id, record.client_id, record.labels) == ("a", "c", {"l": "1"})
        assert (record.status, record.submitted_at, record.attempt) == (QUEUED, 7.5, 1)
        assert (record.queue_position, record.started_at, record.finished_at) == (1, None, None)
        assert execution.timeout_seconds == 5.0
        assert decode_request(execution.request) == asked

    def test_a_run_from_its_start_to_its_result(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        running = engine.start("a", 2.0)
        assert (running.status, running.started_at) == (RUNNING, 2.0)
        assert [e.execution_id for e in engine.list_running()] == ["a"]
        assert engine.peek() is None
        finished = engine.finish("a", COMPLETE, 3.0, result=b'{"n":1}')
        record = record_of(finished)
        assert (record.status, record.finished_at, record.result) == (COMPLETE, 3.0, {"n": 1})
        assert record.error is None
        assert list(engine.list_running()) == []

    def test_a_failure_keeps_its_reason(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        reason = ExecutionErrorInfo(kind=ErrorKind.TIMEOUT, message="too long")
        assert record_of(engine.finish("a", FAILED, 3.0, error=reason)).error == reason

    def test_a_null_result_is_a_result(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        record = record_of(engine.finish("a", COMPLETE, 3.0, result=b"null"))
        assert (record.status, record.result) == (COMPLETE, None)

    def test_a_wish_to_cancel_is_noted(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        assert not engine.start("a", 2.0).to_running_info().cancel_requested
        assert engine.request_cancel("a").to_running_info().cancel_requested

    def test_the_latest_progress_is_kept(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        for n in (1, 2):
            event = ProgressEvent(execution_id="a", sequence=n, timestamp=2.0, completed=n)
            engine.keep_progress("a", ProgressReport(n, 2.0, encode_json({"completed": n})))
        execution = engine.get("a")
        assert execution is not None
        assert execution.to_running_info().progress == event
        assert record_of(engine.finish("a", COMPLETE, 3.0)).progress == event

    def test_events_are_numbered_for_each_execution(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a", "b")
        assert [engine.next_sequence(name) for name in "aabab"] == [1, 2, 1, 3, 2]

    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("done", RUNNING),
            ("done", COMPLETE),
            ("done", CANCELLED),
            ("running", RUNNING),
            ("done", QUEUED),
            ("queued", COMPLETE),
            ("queued", FAILED),
        ],
    )
    def test_a_move_that_does_not_exist_raises_and_changes_nothing(
        self, engine: LifecycleEngine, name: str, status: ExecutionStatus
    ) -> None:
        self.submit(engine, "done", "running", "queued")
        engine.start("done", 2.0)
        engine.finish("done", FAILED, 3.0)
        engine.start("running", 4.0)
        before = self.picture(engine)
        with pytest.raises(IllegalTransition):
            _ = engine.start(name, 9.0) if status is RUNNING else engine.finish(name, status, 9.0)
        assert self.picture(engine) == before

    @pytest.mark.parametrize(
        ("method", "arguments"),
        [
            ("start", (9.0,)),
            ("finish", (CANCELLED, 9.0)),
            ("request_cancel", ()),
            ("next_sequence", ()),
            ("keep_progress", (ProgressReport(1, 1.0, b"{}"),)),
            ("position", ()),
        ],
    )
    def test_an_unknown_id_is_a_key_error(
        self, engine: LifecycleEngine, method: str, arguments: tuple[Any, ...]
    ) -> None:
        with pytest.raises(KeyError):
            getattr(engine, method)("unknown", *arguments)

    # -- again ------------------------------------------------------------------------------

    def test_what_failed_waits_where_it_had_arrived(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a", "b")
        engine.start("a", 2.0)
        again = engine.requeue("a", failed=attempt())
        assert (again.status, again.attempt, again.started_at) == (QUEUED, 2, None)
        assert record_of(again).attempts == (attempt(),)
        assert self.places(engine) == ["a", "b"]
        assert engine.peek() is again

    def test_one_that_has_not_run_at_all_keeps_its_attempt(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        engine.request_cancel("a")
        again = engine.requeue("a")
        assert (again.attempt, again.attempts, again.cancel_requested) == (1, (), False)

    def test_until_its_time_it_waits_behind_all_others(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "late", "soon", "a", "b")
        for name, retry_at in (("late", 20.5), ("soon", 10.5)):
            engine.start(name, 2.0)
            engine.requeue(name, failed=attempt(), retry_at=retry_at)
        assert self.places(engine) == ["a", "b", "soon", "late"]
        assert [engine.position(name) for name in ("a", "b", "soon", "late")] == [1, 2, 3, 4]
        assert [e.execution_id for e in engine.list_delayed()] == ["soon", "late"]
        assert record_of(engine.list_delayed()[0]).retry_at == 10.5
        engine.release("late")
        assert self.places(engine) == ["late", "a", "b", "soon"]
        assert engine.queued_count == 4

    def test_pages_go_on_to_those_that_wait_for_their_time(self, engine: LifecycleEngine) -> None:
        self.submit(engine, *"abcde")
        for name, retry_at in (("a", 10.5), ("b", 1e-7), ("c", 1.7e9)):
            engine.start(name, 2.0)
            engine.requeue(name, failed=attempt(), retry_at=retry_at)
        for limit in (1, 2, 3, 5):
            assert self.places(engine, limit) == ["d", "e", "b", "a", "c"]

    def test_without_others_nothing_is_next_before_its_time(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        engine.requeue("a", failed=attempt(), retry_at=10.5)
        assert engine.peek() is None
        assert engine.queued_count == 1
        assert record_of(engine.finish("a", CANCELLED, 3.0)).retry_at is None
        assert engine.list_delayed() == []

    @pytest.mark.parametrize("cursor", ["", "5", "x:1:1", "r:1:-1", "r:nan:1", "r:1:1:1", "r:٣:1"])
    def test_a_cursor_of_nobody_is_refused(self, engine: LifecycleEngine, cursor: str) -> None:
        with pytest.raises(ValueError, match="none that this server gave"):
            engine.list_queued(1, cursor)

    # -- turns ------------------------------------------------------------------------------

    def test_a_higher_priority_comes_first(self, engine: LifecycleEngine) -> None:
        for name, priority in (("a", 0), ("low", -5), ("high", 5), ("b", 0), ("higher", 6)):
            self.submit(engine, name, priority=priority)
        expected = ["higher", "high", "a", "b", "low"]
        assert self.places(engine) == self.places(engine, 2) == expected
        assert [engine.position(name) for name in expected] == [1, 2, 3, 4, 5]

    def test_clients_take_turns_where_that_is_fair(self) -> None:
        engine = self.make_engine(1000, QueuePolicy.FAIR)
        self.submit(engine, "a1", "a2", "a3", client_id="a")
        engine.start("a1", 2.0)
        self.submit(engine, "b1", "b2", client_id="b")
        self.submit(engine, "c1", client_id="c")
        assert self.places(engine) == ["b1", "c1", "a2", "b2", "a3"]
        self.submit(engine, "a0", client_id="a", priority=1)
        assert self.places(engine, 2) == ["b1", "c1", "a0", "b2", "a2", "a3"]
        engine.finish("a0", CANCELLED, 2.0)
        assert self.places(engine) == ["b1", "c1", "a2", "b2", "a3"]

    def test_nobody_gets_more_turns_by_coming_back_at_once(self) -> None:
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

    @of_each_engine
    @given(
        st.lists(
            st.tuples(st.sampled_from("sssrc"), st.sampled_from("abc"), st.integers(-1, 1)),
            max_size=40,
        )
    )
    def test_turns_are_what_a_walk_through_the_clients_finds(
        self, steps: list[tuple[str, str, int]]
    ) -> None:
        engine = self.make_engine(1000, QueuePolicy.FAIR)
        turns = Turns(fair=True)
        for n, (step, client, priority) in enumerate(steps):
            name = f"x{n}"
            if step == "s":
                self.submit(engine, name, client_id=client, priority=priority)
                turns.add(name, client, priority, n)
            elif turns.order and step == "r":
                engine.start(turns.take(), 2.0)
            elif turns.order and step == "c":
                name = turns.order[-1]
                engine.finish(name, CANCELLED, 2.0)
                turns.drop(name)
            assert self.places(engine) == self.places(engine, 2) == turns.order
            assert [engine.position(name) for name in turns.order] == list(
                range(1, len(turns.order) + 1)
            )

    @staticmethod
    def places(engine: LifecycleEngine, limit: int = 100) -> list[str]:
        """Return the queue, read in pages."""
        found: list[str] = []
        cursor = None
        while True:
            page, cursor = engine.list_queued(limit, cursor)
            for place, execution in page:
                found.append(execution.execution_id)
                assert place == len(found)
            if cursor is None:
                return found

    # -- history ----------------------------------------------------------------------------

    def finish(self, engine: LifecycleEngine, *execution_ids: str) -> None:
        for execution_id in execution_ids:
            self.submit(engine, execution_id)
            engine.start(execution_id, 2.0)
            engine.finish(execution_id, COMPLETE, 3.0, result=b"1")

    def test_history_keeps_the_latest(self) -> None:
        engine = self.make_engine(history_limit=2)
        self.finish(engine, *"abcd")
        assert [name for name in "abcd" if engine.get(name)] == ["c", "d"]
        assert engine.counts[COMPLETE] == 2

    def test_what_ended_first_is_dropped_first_whenever_it_was_submitted(self) -> None:
        engine = self.make_engine(history_limit=1)
        self.submit(engine, "early", "late")
        engine.finish("late", CANCELLED, 2.0)
        engine.finish("early", CANCELLED, 3.0)
        assert engine.get("late") is None
        assert engine.get("early") is not None

    def test_without_history_an_end_is_told_and_forgotten(self) -> None:
        engine = self.make_engine(history_limit=0)
        self.submit(engine, "a")
        assert engine.finish("a", CANCELLED, 2.0).status is CANCELLED
        assert engine.get("a") is None
        assert dict(engine.counts) == dict.fromkeys(ExecutionStatus, 0)

    def test_what_waits_or_runs_is_never_dropped(self) -> None:
        engine = self.make_engine(history_limit=0)
        self.submit(engine, "runs", "waits")
        engine.start("runs", 2.0)
        self.finish(engine, "x", "y")
        assert engine.get("runs") is not None
        assert engine.get("waits") is not None

    def test_history_drops_what_is_too_old_when_something_ends(self) -> None:
        engine = self.make_engine(1000, history_seconds=10.0)
        for name, ended_at in (("old", 5.0), ("new", 6.0), ("now", 15.5)):
            self.submit(engine, name)
            engine.finish(name, CANCELLED, ended_at)
        assert [name for name in ("old", "new", "now") if engine.get(name)] == ["new", "now"]

    def test_a_dropped_id_may_be_used_anew(self) -> None:
        engine = self.make_engine(history_limit=0)
        self.finish(engine, "a")
        self.submit(engine, "a")
        assert engine.next_sequence("a") == 1
        assert engine.position("a") == 1

    @of_each_engine
    @given(st.lists(st.sampled_from("sfcxk"), max_size=60), st.integers(0, 3))
    def test_counts_are_what_a_count_would_find(self, steps: str, history_limit: int) -> None:
        engine = self.make_engine(history_limit)
        names: list[str] = []
        for n, step in enumerate(steps):
            queued = [e.execution_id for _, e in engine.list_queued(100).entries]
            running = [e.execution_id for e in engine.list_running()]
            if step == "s":
                names.append(f"x{n}")
                self.submit(engine, names[-1])
            elif step == "f" and queued:
                engine.start(queued[0], 2.0)
            elif step == "c" and queued:
                engine.finish(queued[-1], CANCELLED, 3.0)
            elif step in "xk" and running:
                engine.finish(running[0], COMPLETE if step == "x" else FAILED, 3.0)
            kept = [e for name in names if (e := engine.get(name)) is not None]
            for status in ExecutionStatus:
                assert engine.counts[status] == sum(e.status is status for e in kept)
            assert sum(e.status.is_terminal for e in kept) <= history_limit
            places = [engine.position(e.execution_id) for e in kept if e.status is QUEUED]
            assert places == list(range(1, len(places) + 1))

    @staticmethod
    def picture(engine: LifecycleEngine) -> object:
        known = [engine.get(name) for name in ("done", "running", "queued")]
        return (
            [record_of(e) for e in known if e is not None],
            [(place, e.execution_id) for place, e in engine.list_queued(10).entries],
            [e.execution_id for e in engine.list_running()],
            dict(engine.counts),
        )


class TestInMemoryEngine(EngineContract):
    def make_engine(
        self,
        history_limit: int,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
        *,
        history_seconds: float | None = None,
    ) -> LifecycleEngine:
        return InMemoryLifecycleEngine(
            history_limit, queue_policy=queue_policy, history_seconds=history_seconds
        )

    def test_nothing_has_to_be_committed(self) -> None:
        engine = InMemoryLifecycleEngine()
        self.submit(engine, "a")
        assert not engine.uncommitted
        assert not engine.durable
        assert engine.withdraw() == ()

    def test_a_negative_limit_is_refused(self) -> None:
        with pytest.raises(ValueError, match="history_limit must be 0 or more, not -1"):
            InMemoryLifecycleEngine(-1)

    def test_a_negative_age_is_refused(self) -> None:
        with pytest.raises(ValueError, match="history_seconds must be 0 or more, not -1"):
            InMemoryLifecycleEngine(history_seconds=-1)

    def test_the_usual_history_is_a_thousand(self) -> None:
        engine = InMemoryLifecycleEngine()
        self.finish(engine, *(f"x{n}" for n in range(1001)))
        assert engine.get("x0") is None
        assert engine.get("x1") is not None

    def test_an_ended_one_keeps_no_request(self) -> None:
        engine = InMemoryLifecycleEngine()
        self.submit(engine, "a", task={"image": "x" * 100_000})
        engine.start("a", 2.0)
        assert len(engine.finish("a", COMPLETE, 3.0, result=b"1").request) < 100


class TestJournalEngine(EngineContract):
    @pytest.fixture(autouse=True)
    def _close_what_was_made(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        self.directory = tmp_path_factory.mktemp("journals")
        self.made: list[JournalLifecycleEngine] = []
        yield
        for engine in self.made:
            engine.close()

    def make_engine(
        self,
        history_limit: int,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
        *,
        history_seconds: float | None = None,
    ) -> LifecycleEngine:
        engine = quick_engine(
            self.directory / str(len(self.made)),
            history_limit,
            queue_policy=queue_policy,
            history_seconds=history_seconds,
        )
        self.made.append(engine)
        return engine


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (request("a", task={"x": 1, "y": 2}), request("a", task={"y": 2, "x": 1})),
        (request("a", request_id="1"), request("a", request_id="2")),
        (request("a", timeout_seconds=5), request("a", timeout_seconds=5.0)),
    ],
    ids=["order of keys", "request id", "kind of number"],
)
def test_the_same_work_however_it_is_written(same: Any, other: Any) -> None:
    assert InMemoryLifecycleEngine().submit(same, 1.0).is_same_work(other)


@pytest.mark.parametrize(
    "other",
    [
        request("a", task={"x": 2}),
        request("a", task={"x": "1"}),
        request("a", task={"x": 1}, config={}),
        request("a", task={"x": 1}, labels={"l": "1"}),
        request("a", task={"x": 1}, timeout_seconds=1.0),
        request("a", task={"x": 1}, client_id="another"),
        request("a", task={"x": 1}, priority=1),
        request("a", task={"x": 1}, max_attempts=2),
        request("a", task={"x": 1}, retry_on=()),
        request("a", task={"x": 1}, backoff_seconds=1.0),
    ],
    ids=[
        *("value", "type", "config", "labels", "time limit", "client"),
        *("priority", "attempts", "kinds of error", "delay"),
    ],
)
def test_other_work_under_the_same_name(other: Any) -> None:
    execution = InMemoryLifecycleEngine().submit(request("a", task={"x": 1}), 1.0)
    assert not execution.is_same_work(other)
