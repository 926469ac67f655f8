"""Contract of a lifecycle engine's transitions: submit, start, progress, cancel, finish."""

from __future__ import annotations

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
from zmqruntime.testing.contracts.engine_fixtures import EngineFixtures, make_request

__all__ = ["TransitionContract"]

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


class TransitionContract(EngineFixtures):
    """Tests what each transition changes, and that an illegal one changes nothing."""

    def test_submitted_execution_has_the_fields_of_its_request(
        self, engine: LifecycleEngine
    ) -> None:
        request = make_request(
            "a", client_id="c", task={"x": 1}, labels={"l": "1"}, timeout_seconds=5.0
        )
        execution = engine.submit(request, 7.5)
        assert (execution.execution_id, execution.client_id) == ("a", "c")
        assert (execution.labels, execution.timeout_seconds) == ({"l": "1"}, 5.0)
        assert (execution.status, execution.submitted_at, execution.attempt) == (QUEUED, 7.5, 1)
        assert (execution.started_at, execution.finished_at) == (None, None)
        assert engine.position("a") == 1
        assert decode_request(execution.request) == request

    def test_request_frame_is_stored_unchanged(self, engine: LifecycleEngine) -> None:
        frame = b'{ "type": "execute", "execution_id": "a", "client_id": "c", "task": {"x": 1} }'
        request = decode_request(frame)
        assert isinstance(request, ExecuteRequest)
        execution = engine.submit(request, 7.5, frame)
        assert execution.request == frame
        assert execution.is_same_work(make_request("a", client_id="c", task={"x": 1}))

    def test_queued_bytes_is_the_size_of_queued_requests(self, engine: LifecycleEngine) -> None:
        def matches(*names: str) -> bool:
            kept = [engine.get(name) for name in names]
            return engine.queued_bytes == sum(len(e.request) for e in kept if e is not None)

        assert matches()
        self.submit(engine, "a", "b", "c", task={"text": "x" * 1000})
        assert matches("a", "b", "c")
        engine.start("a", 2.0)
        assert matches("b", "c")
        engine.requeue("a", retry_at=9.0)
        assert matches("a", "b", "c")
        engine.release("a")
        engine.finish("b", CANCELLED, 3.0)
        assert matches("a", "c")
        engine.start("a", 4.0)
        engine.finish("a", COMPLETE, 5.0)
        engine.start("c", 6.0)
        assert matches()

    def test_unparsed_request_frame_is_stored_unchanged(self, engine: LifecycleEngine) -> None:
        frame = b'{"type":"execute","execution_id":"a","client_id":"c","task":{"x":"%b"}}'
        frame %= b"y" * MAX_REQUEST_BYTES
        request = split_request(frame)
        assert isinstance(request, UnparsedExecute)
        execution = engine.submit(request, 7.5, frame)
        assert execution.request is frame
        engine.start("a", 8.0)
        engine.finish("a", COMPLETE, 9.0)
        assert execution.request == b""
        assert execution.is_same_work(request)
        other = split_request(frame.replace(b"yyy", b"yyz", 1))
        assert isinstance(other, UnparsedExecute)
        assert not execution.is_same_work(other)

    def test_engine_without_durability_has_nothing_to_commit(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        assert engine.durable or not engine.uncommitted

    def test_execution_runs_from_start_to_result(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        running = engine.start("a", 2.0)
        assert (running.status, running.started_at) == (RUNNING, 2.0)
        assert [e.execution_id for e in engine.list_running()] == ["a"]
        assert engine.peek() is None
        finished = engine.finish("a", COMPLETE, 3.0, result=b'{"n":1}')
        assert (finished.status, finished.finished_at) == (COMPLETE, 3.0)
        assert (finished.result, finished.error) == (b'{"n":1}', None)
        assert list(engine.list_running()) == []

    def test_failure_keeps_its_error(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        reason = ExecutionErrorInfo(kind=ErrorKind.TIMEOUT, message="too long")
        assert engine.finish("a", FAILED, 3.0, error=reason).error == reason

    def test_null_is_a_result(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        finished = engine.finish("a", COMPLETE, 3.0, result=b"null")
        assert (finished.status, finished.result) == (COMPLETE, b"null")

    def test_cancel_request_is_recorded(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        assert not engine.start("a", 2.0).to_running_info().cancel_requested
        assert engine.request_cancel("a").to_running_info().cancel_requested

    def test_latest_progress_is_kept(self, engine: LifecycleEngine) -> None:
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

    def test_last_report_of_a_batch_is_kept(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a")
        engine.start("a", 2.0)
        bodies = [b'{"completed":%d}' % n for n in (1, 2, 3)]
        reports = engine.keep_progress("a", bodies, 2.0)
        assert [report.body for report in reports] == bodies
        execution = engine.get("a")
        assert execution is not None
        assert execution.progress == reports[-1]
        assert execution.sequence == reports[-1].sequence

    def test_events_are_numbered_per_execution(self, engine: LifecycleEngine) -> None:
        self.submit(engine, "a", "b")
        numbers = [
            engine.list_queued(1).entries[0][1].sequence,
            engine.start("a", 2.0).sequence,
            *[report.sequence for report in engine.keep_progress("a", [b"{}", b"{}"], 2.0)],
            engine.request_cancel("a").sequence,  # A cancel request is not an event.
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
    def test_illegal_transition_raises_and_changes_nothing(
        self, engine: LifecycleEngine, name: str, status: ExecutionStatus
    ) -> None:
        self.submit(engine, "done", "running", "queued")
        engine.start("done", 2.0)
        engine.finish("done", FAILED, 3.0)
        engine.start("running", 4.0)
        before = self.snapshot(engine)
        with pytest.raises(IllegalTransition):
            _ = engine.start(name, 9.0) if status is RUNNING else engine.finish(name, status, 9.0)
        assert self.snapshot(engine) == before

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
    def test_unknown_id_raises_a_key_error(
        self, engine: LifecycleEngine, method: str, arguments: tuple[Any, ...]
    ) -> None:
        with pytest.raises(KeyError):
            getattr(engine, method)("unknown", *arguments)

    @staticmethod
    def snapshot(engine: LifecycleEngine) -> object:
        known = [engine.get(name) for name in ("done", "running", "queued")]
        return (
            [_state(e) for e in known if e is not None],
            [(place, e.execution_id) for place, e in engine.list_queued(10).entries],
            [e.execution_id for e in engine.list_running()],
            dict(engine.counts),
        )


def _state(execution: Execution) -> tuple[object, ...]:
    return (execution.status, execution.started_at, execution.finished_at, execution.result)
