"""The promises of `LifecycleEngine`."""

from __future__ import annotations

import random
from typing import Any

import pytest

from zmqruntime.execution import Execution, IllegalTransition, LifecycleEngine
from zmqruntime.messages import (
    MAX_REQUEST_BYTES,
    ErrorKind,
    ExecuteRequest,
    ExecutionErrorInfo,
    ExecutionStatus,
    ProgressEvent,
    UnparsedExecute,
    decode_request,
)
from zmqruntime.messages.lowlevel import split_request
from zmqruntime.testing.contracts.engine_kit import make_request
from zmqruntime.testing.contracts.turns import TurnsContract

__all__ = ["LifecycleEngineContract"]

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

_WALK_STEPS = 80


class LifecycleEngineContract(TurnsContract):
    """Tests that every lifecycle engine passes.

    Derive from it in a test module: ``class TestMyEngine(LifecycleEngineContract)``.
    """

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
        assert self.read_queue(engine, 2) == [*"abcde"]

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

    @pytest.mark.parametrize("cursor", ["", "5", "x:1:1", "r:1:-1", "r:nan:1", "r:1:1:1", "r:٣:1"])
    def test_a_cursor_of_nobody_is_refused(self, engine: LifecycleEngine, cursor: str) -> None:
        with pytest.raises(ValueError, match="cursor"):
            engine.list_queued(1, cursor)

    # -- moves ------------------------------------------------------------------------------

    def test_a_submitted_one_has_all_that_its_request_said(self, engine: LifecycleEngine) -> None:
        asked = make_request(
            "a", client_id="c", task={"x": 1}, labels={"l": "1"}, timeout_seconds=5.0
        )
        execution = engine.submit(asked, 7.5)
        assert (execution.execution_id, execution.client_id) == ("a", "c")
        assert (execution.labels, execution.timeout_seconds) == ({"l": "1"}, 5.0)
        assert (execution.status, execution.submitted_at, execution.attempt) == (QUEUED, 7.5, 1)
        assert (execution.started_at, execution.finished_at) == (None, None)
        assert engine.position("a") == 1
        assert decode_request(execution.request) == asked

    def test_a_request_that_came_in_a_frame_is_kept_as_it_came(
        self, engine: LifecycleEngine
    ) -> None:
        frame = b'{ "type": "execute", "execution_id": "a", "client_id": "c", "task": {"x": 1} }'
        asked = decode_request(frame)
        assert isinstance(asked, ExecuteRequest)
        execution = engine.submit(asked, 7.5, frame)
        assert execution.request == frame
        assert execution.is_same_work(make_request("a", client_id="c", task={"x": 1}))

    def test_the_bytes_of_the_queue_are_those_of_what_waits(self, engine: LifecycleEngine) -> None:
        def waits(*names: str) -> bool:
            kept = [engine.get(name) for name in names]
            return engine.queued_bytes == sum(len(e.request) for e in kept if e is not None)

        assert waits()
        self.submit(engine, "a", "b", "c", task={"text": "x" * 1000})
        assert waits("a", "b", "c")
        engine.start("a", 2.0)
        assert waits("b", "c")
        engine.requeue("a", retry_at=9.0)
        assert waits("a", "b", "c")
        engine.release("a")
        engine.finish("b", CANCELLED, 3.0)
        assert waits("a", "c")
        engine.start("a", 4.0)
        engine.finish("a", COMPLETE, 5.0)
        engine.start("c", 6.0)
        assert waits()

    def test_a_request_of_which_the_task_is_not_parsed_is_kept_as_it_came(
        self, engine: LifecycleEngine
    ) -> None:
        frame = b'{"type":"execute","execution_id":"a","client_id":"c","task":{"x":"%b"}}'
        frame %= b"y" * MAX_REQUEST_BYTES
        asked = split_request(frame)
        assert isinstance(asked, UnparsedExecute)
        execution = engine.submit(asked, 7.5, frame)
        assert execution.request is frame
        engine.start("a", 8.0)
        engine.finish("a", COMPLETE, 9.0)
        assert execution.request == b""
        assert execution.is_same_work(asked)
        other = split_request(frame.replace(b"yyy", b"yyz", 1))
        assert isinstance(other, UnparsedExecute)
        assert not execution.is_same_work(other)

    def test_what_the_next_process_does_not_find_needs_no_commit(
        self, engine: LifecycleEngine
    ) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        assert engine.durable or not engine.uncommitted

    def test_a_run_from_its_start_to_its_result(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        running = engine.start("a", 2.0)
        assert (running.status, running.started_at) == (RUNNING, 2.0)
        assert [e.execution_id for e in engine.list_running()] == ["a"]
        assert engine.peek() is None
        finished = engine.finish("a", COMPLETE, 3.0, result=b'{"n":1}')
        assert (finished.status, finished.finished_at) == (COMPLETE, 3.0)
        assert (finished.result, finished.error) == (b'{"n":1}', None)
        assert list(engine.list_running()) == []

    def test_a_failure_keeps_its_reason(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        reason = ExecutionErrorInfo(kind=ErrorKind.TIMEOUT, message="too long")
        assert engine.finish("a", FAILED, 3.0, error=reason).error == reason

    def test_a_null_result_is_a_result(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        finished = engine.finish("a", COMPLETE, 3.0, result=b"null")
        assert (finished.status, finished.result) == (COMPLETE, b"null")

    def test_a_wish_to_cancel_is_noted(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        assert not engine.start("a", 2.0).to_running_info().cancel_requested
        assert engine.request_cancel("a").to_running_info().cancel_requested

    def test_the_latest_progress_is_kept(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        for n in (1, 2):
            (report,) = engine.keep_progress("a", [b'{"completed":%d}' % n], 2.0)
            event = ProgressEvent(
                execution_id="a", sequence=report.sequence, timestamp=2.0, completed=n
            )
        execution = engine.get("a")
        assert execution is not None
        assert execution.to_running_info().progress == event
        assert engine.finish("a", COMPLETE, 3.0).progress == report

    def test_of_what_is_reported_together_the_last_is_kept(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        bodies = [b'{"completed":%d}' % n for n in (1, 2, 3)]
        reports = engine.keep_progress("a", bodies, 2.0)
        assert [report.body for report in reports] == bodies
        execution = engine.get("a")
        assert execution is not None
        assert execution.progress == reports[-1]
        assert execution.sequence == reports[-1].sequence

    def test_events_are_numbered_for_each_execution(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a", "b")
        numbers = [
            engine.list_queued(1).entries[0][1].sequence,
            engine.start("a", 2.0).sequence,
            *[report.sequence for report in engine.keep_progress("a", [b"{}", b"{}"], 2.0)],
            engine.request_cancel("a").sequence,  # A wish is no event.
            engine.requeue("a").sequence,
            engine.finish("a", CANCELLED, 3.0).sequence,
        ]
        assert numbers == [1, 2, 3, 4, 4, 5, 6]
        assert engine.start("b", 3.0).sequence == 2

    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("done", RUNNING),
            ("done", COMPLETE),
            ("done", CANCELLED),
            ("running", RUNNING),
            ("done", QUEUED),
            ("queued", COMPLETE),
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
            ("keep_progress", (b"{}", 1.0)),
            ("position", ()),
        ],
    )
    def test_an_unknown_id_is_a_key_error(
        self, engine: LifecycleEngine, method: str, arguments: tuple[Any, ...]
    ) -> None:
        with pytest.raises(KeyError):
            getattr(engine, method)("unknown", *arguments)

    # -- history ----------------------------------------------------------------------------

    def test_history_keeps_what_was_read_last(self) -> None:
        engine = self.make_engine(history_limit=2)
        self.run_and_read(engine, *"abcd")
        assert [name for name in "abcd" if engine.get(name)] == ["c", "d"]
        assert engine.counts[COMPLETE] == 2

    def test_what_was_not_read_is_not_dropped_to_make_room(self) -> None:
        engine = self.make_engine(history_limit=2)
        self.run_to_end(engine, *"abcd")
        self.run_and_read(engine, *"efgh")
        assert [name for name in "abcdefgh" if engine.get(name)] == [*"abcdgh"]
        results = [engine.get(name) for name in "abcd"]
        assert all(e is not None and e.result == b"1" for e in results)

    def test_what_was_read_first_is_dropped_first_whenever_it_ended(self) -> None:
        engine = self.make_engine(history_limit=2)
        self.run_to_end(engine, *"abc")
        for name in "cab":
            engine.mark_read(name)
        assert [name for name in "abc" if engine.get(name)] == ["a", "b"]

    def test_what_is_read_again_is_dropped_later(self) -> None:
        engine = self.make_engine(history_limit=2)
        self.run_and_read(engine, "a", "b")
        engine.mark_read("a")
        self.run_and_read(engine, "c")
        assert [name for name in "abc" if engine.get(name)] == ["a", "c"]

    def test_what_is_not_kept_cannot_be_read(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "waits")
        engine.mark_read("unknown")
        engine.mark_read("waits")
        assert engine.position("waits") == 1

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
        self.run_to_end(engine, "x", "y")
        assert engine.get("runs") is not None
        assert engine.get("waits") is not None

    def test_history_drops_what_is_too_old_when_something_ends(self) -> None:
        engine = self.make_engine(1000, history_seconds=10.0)
        for name, ended_at in (("old", 5.0), ("new", 6.0), ("now", 15.5)):
            self.submit(engine, name)
            engine.finish(name, CANCELLED, ended_at)
            engine.mark_read(name)
        assert [name for name in ("old", "new", "now") if engine.get(name)] == ["new", "now"]

    def test_what_is_too_old_before_it_was_read_leaves_its_end(self) -> None:
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
        # It still stands for the same work.
        assert failed.is_same_work(make_request("failed", labels={"a": "b"}))
        assert not failed.is_same_work(make_request("failed"))

    def test_what_is_dropped_from_history_is_told_once(self) -> None:
        engine = self.make_engine(1)
        self.run_and_read(engine, *"abc")
        assert list(engine.take_dropped()) == ["a", "b"]
        assert list(engine.take_dropped()) == []

    def test_a_dropped_id_may_be_used_anew(self) -> None:
        engine = self.make_engine(history_limit=0)
        self.run_to_end(engine, "a")
        self.submit(engine, "a")
        assert engine.position("a") == 1
        assert engine.start("a", 4.0).sequence == 2

    @pytest.mark.parametrize("history_limit", range(4))
    @pytest.mark.parametrize("seed", range(10))
    def test_counts_are_what_a_count_would_find(self, seed: int, history_limit: int) -> None:
        engine = self.make_engine(history_limit)
        dice = random.Random(seed)
        names: list[str] = []
        read: set[str] = set()
        for n in range(_WALK_STEPS):
            queued = [e.execution_id for _, e in engine.list_queued(100).entries]
            running = [e.execution_id for e in engine.list_running()]
            step = dice.choice(["submit", "start", "cancel", "complete", "fail", "read"])
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
                name = dice.choice(names)
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

    @staticmethod
    def picture(engine: LifecycleEngine) -> object:
        known = [engine.get(name) for name in ("done", "running", "queued")]
        return (
            [_state(e) for e in known if e is not None],
            [(place, e.execution_id) for place, e in engine.list_queued(10).entries],
            [e.execution_id for e in engine.list_running()],
            dict(engine.counts),
        )


def _state(execution: Execution) -> tuple[object, ...]:
    return (execution.status, execution.started_at, execution.finished_at, execution.result)
