"""What every lifecycle engine promises, and what the one in memory does beyond it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import pytest
from driving import record_of, request
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.execution import (
    IllegalTransition,
    InMemoryLifecycleEngine,
    LifecycleEngine,
    ProgressReport,
)
from zmqruntime.messages import (
    ErrorKind,
    ExecutionErrorInfo,
    ExecutionStatus,
    ProgressEvent,
    decode_request,
    encode_json,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


class EngineContract(ABC):
    """The promises of `LifecycleEngine`. To be inherited by the tests of each engine."""

    @abstractmethod
    def make_engine(self, history_limit: int) -> LifecycleEngine:
        """Return a new, empty engine."""

    @pytest.fixture
    def engine(self) -> LifecycleEngine:
        return self.make_engine(1000)

    @staticmethod
    def submit(engine: LifecycleEngine, *execution_ids: str, **fields: Any) -> None:
        for execution_id in execution_ids:
            engine.submit(request(execution_id, **fields), 1.0)

    # -- history ----------------------------------------------------------------------------

    def test_what_is_dropped_from_history_is_told_once(self) -> None:
        engine = self.make_engine(1)
        self.submit(engine, "a", "b", "c")
        for execution_id in "abc":
            engine.finish(execution_id, CANCELLED, 2.0)
        assert sorted(engine.take_dropped()) == ["a", "b"]
        assert list(engine.take_dropped()) == []

    # -- order ------------------------------------------------------------------------------

    def test_a_new_one_is_empty(self, engine: LifecycleEngine) -> None:
        assert engine.peek() is None
        assert engine.get("a") is None
        assert engine.queued_count == 0
        assert list(engine.list_queued(10)) == []
        assert list(engine.list_running()) == []
        assert dict(engine.counts) == dict.fromkeys(ExecutionStatus, 0)

    def test_what_came_first_is_first(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "b", "a", "c")
        assert [e.execution_id for _, e in engine.list_queued(10)] == ["b", "a", "c"]
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
        places, after = [], -1
        while page := engine.list_queued(2, after):
            assert len(page) <= 2
            places += [(place, e.execution_id) for place, e in page]
            after = page[-1][1].ticket
        assert places == [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]

    def test_a_page_goes_on_where_the_last_one_ended_though_the_queue_moved(
        self, engine: LifecycleEngine
    ) -> None:
        self.submit(engine, *"abcde")
        after = engine.list_queued(2)[-1][1].ticket
        engine.start("a", 2.0)
        engine.finish("b", CANCELLED, 2.0)
        assert [(p, e.execution_id) for p, e in engine.list_queued(2, after)] == [
            (1, "c"),
            (2, "d"),
        ]

    def test_a_page_of_nothing_is_empty(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        assert list(engine.list_queued(0)) == []

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
            ("running", QUEUED),
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

    def test_a_dropped_id_may_be_used_anew(self) -> None:
        engine = self.make_engine(history_limit=0)
        self.finish(engine, "a")
        self.submit(engine, "a")
        assert engine.next_sequence("a") == 1
        assert engine.position("a") == 1

    @given(st.lists(st.sampled_from("sfcxk"), max_size=60), st.integers(0, 3))
    def test_counts_are_what_a_count_would_find(self, steps: str, history_limit: int) -> None:
        engine = self.make_engine(history_limit)
        names: list[str] = []
        for n, step in enumerate(steps):
            queued = [e.execution_id for _, e in engine.list_queued(100)]
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
            [(place, e.execution_id) for place, e in engine.list_queued(10)],
            [e.execution_id for e in engine.list_running()],
            dict(engine.counts),
        )


class TestInMemoryEngine(EngineContract):
    def make_engine(self, history_limit: int) -> LifecycleEngine:
        return InMemoryLifecycleEngine(history_limit)

    def test_a_negative_limit_is_refused(self) -> None:
        with pytest.raises(ValueError, match="history_limit must be 0 or more, not -1"):
            InMemoryLifecycleEngine(-1)

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
    ],
    ids=["value", "type", "config", "labels", "time limit", "client"],
)
def test_other_work_under_the_same_name(other: Any) -> None:
    execution = InMemoryLifecycleEngine().submit(request("a", task={"x": 1}), 1.0)
    assert not execution.is_same_work(other)
