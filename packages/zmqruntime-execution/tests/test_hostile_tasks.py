"""A task that reports or returns extreme values fails at most itself, never the server."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from zmqruntime.execution import ExecutionContext, InMemoryLifecycleEngine, ProgressReporter
from zmqruntime.execution.core.effects import AssignTask
from zmqruntime.execution.core.events import (
    Now,
    ProgressReported,
    Submitted,
    TaskRaised,
    TaskReturned,
    WorkerExited,
    WorkerReady,
)
from zmqruntime.execution.core.scheduler import Scheduler
from zmqruntime.execution.lifecycle.events import ProgressReport, compose_event
from zmqruntime.execution.worker.child.interrupt import Interrupt
from zmqruntime.execution.worker.child.reporter import encode_progress
from zmqruntime.execution.worker.child.task import run_task
from zmqruntime.messages import (
    DecodeError,
    ErrorKind,
    ExecuteRequest,
    ExecutionStatus,
    ProgressEvent,
    decode_event,
)
from zmqruntime.transport import Caller

NOW = Now(1.0, 1.0)


def decoded(body: bytes) -> ProgressEvent:
    event = decode_event(compose_event("x", ProgressReport(1, 1.0, body)))
    assert isinstance(event, ProgressEvent)
    return event


def test_number_with_too_many_digits_is_refused_by_the_report() -> None:
    with pytest.raises(DecodeError, match=r"progress\.completed"):
        encode_progress(completed=10**4400)


def test_numbers_beyond_a_float_are_reported_without_a_percentage() -> None:
    event = decoded(encode_progress(completed=10**400, total=3))
    assert event.completed == 10**400
    assert event.percent is None


def test_file_name_that_is_not_utf8_can_be_reported() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert decoded(encode_progress(message=name, phase=name)).message == "caf\\udce9"


class Growing(dict[str, int]):
    """A dict that changes while it is iterated."""

    def items(self) -> Iterator[tuple[str, int]]:  # type: ignore[override]
        raise RuntimeError("dictionary changed size during iteration")


def test_result_that_changes_during_serialization_is_unserializable() -> None:
    class Task:
        def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> object:
            return Growing(a=1)

        def serialize_result(self, result: object) -> object:
            return result

    interrupt = Interrupt()
    request = ExecuteRequest(task={}, client_id="c", execution_id="x")
    context = ExecutionContext(request, ProgressReporter(None, lambda body: None), interrupt)  # type: ignore[arg-type]
    outcome = run_task(Task(), request, context, interrupt, 1 << 20)
    assert isinstance(outcome, TaskRaised)
    assert outcome.error.kind is ErrorKind.UNSERIALIZABLE_RESULT
    assert "changed size" in outcome.error.message


def test_very_long_error_keeps_its_beginning_and_end() -> None:
    class Task:
        def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> object:
            raise ValueError("begin " + "x" * 1_000_000 + " end")

    interrupt = Interrupt()
    request = ExecuteRequest(task={}, client_id="c", execution_id="x")
    context = ExecutionContext(request, ProgressReporter(None, lambda body: None), interrupt)  # type: ignore[arg-type]
    outcome = run_task(Task(), request, context, interrupt, 1 << 20)  # type: ignore[arg-type]
    assert isinstance(outcome, TaskRaised)
    message = outcome.error.message
    assert len(message) < 20_000
    assert message.startswith("begin")
    assert message.endswith("end")


def test_messages_before_the_exit_of_a_worker_count_and_no_task_is_assigned_to_it() -> None:
    scheduler = Scheduler(InMemoryLifecycleEngine())
    scheduler.start(Now(1.0, 1.0))
    scheduler.handle(WorkerReady(), NOW)
    for name in ("first", "second"):
        request = ExecuteRequest(task={}, client_id="c", execution_id=name)
        scheduler.handle(Submitted(request, Caller((b"", b""))), NOW)
    last = (ProgressReported("first", (b'{"phase":"end"}',)), TaskReturned("first", b"1"))
    effects = scheduler.handle(WorkerExited(-11, last=last), NOW)
    first, second = scheduler.engine.get("first"), scheduler.engine.get("second")
    assert first is not None
    assert second is not None
    assert first.status is ExecutionStatus.COMPLETE
    assert second.status is ExecutionStatus.QUEUED
    assert not any(isinstance(effect, AssignTask) for effect in effects)


def test_late_interrupt_does_not_reach_the_next_run_of_the_same_id() -> None:
    interrupt = Interrupt()
    with interrupt.armed("x"):
        pass
    late = threading.Thread(target=interrupt.request, args=("x",))
    late.start()
    late.join()
    with interrupt.armed("x"):
        assert not interrupt.requested
