"""`TaskEnvironment`: runs a task in the test's thread, without a server or a worker process."""

from __future__ import annotations

import contextlib
import signal
import threading
import uuid
from collections.abc import Iterator
from typing import Any

from zmqruntime.execution import (
    ExecutionCancelled,
    ExecutionContext,
    ExecutionFailed,
    ExecutionServer,
    ProgressReporter,
    TaskRaised,
    TaskReturned,
    TaskStopped,
)
from zmqruntime.execution.lowlevel import Interrupt, run_task
from zmqruntime.messages import (
    ErrorKind,
    ExecuteRequest,
    ExecutionErrorInfo,
    ExecutionRecord,
    ExecutionStatus,
    JsonObject,
    JsonValue,
    Labels,
    ProgressEvent,
    decode_request,
)
from zmqruntime.messages.lowlevel import decode_json, encode_json
from zmqruntime.testing.child_reports import ChildReports
from zmqruntime.testing.clock import MovableClock
from zmqruntime.transport.lowlevel import check_number, check_type

__all__ = ["TaskEnvironment"]

_PRECEDING_EVENTS = 2
"""The state events (queued, running) that precede the first progress event."""

# Not SIGINT, so that Ctrl-C still interrupts the test. Its default action is to ignore it, so a
# signal that arrives after the end of the task has no effect.
_SIGNAL = signal.Signals["SIGURG" if hasattr(signal, "SIGURG") else "SIGBREAK"]


class TaskEnvironment:
    """Runs an application's ``execute_task`` in this thread, as its worker process would.

    Request and result are converted to JSON, progress is collected, and a cancel sets the flag and
    interrupts the task. Unlike in a worker, the server object is used directly, so that a test can
    inject test doubles, and a task that ignores a cancel is not killed.

    Args:
        server: a server instance, not started; `setup_worker` is called before the first task.
        clock: for the times of events and records, and for ``timeout_seconds``; None for a frozen
            clock, which ``environment.clock.advance(5)`` moves.
    """

    def __init__(self, server: ExecutionServer, clock: MovableClock | None = None) -> None:
        check_type("server", server, ExecutionServer)
        self.clock = MovableClock() if clock is None else clock
        self.progress: list[ProgressEvent] = []
        """The progress events of the latest run, from any thread or process."""
        self._server = server
        self._is_set_up = False
        self._run: _Run | None = None

    def run(
        self,
        task: JsonObject,
        config: JsonObject | None = None,
        *,
        client_id: str = "test",
        execution_id: str | None = None,
        labels: Labels | None = None,
        timeout_seconds: float | None = None,
        cancel_at: int | None = None,
    ) -> JsonValue:
        """Run the task and return its result, as a client would receive it.

        Args:
            task: the task of the request.
            config: the configuration of the request.
            client_id: the client id of the request.
            execution_id: None for a new one.
            labels: stored in the record.
            timeout_seconds: the task is interrupted after this time, by ``clock``.
            cancel_at: cancel after this number of progress reports.

        Raises:
            BaseException: the exception that the task raised, unchanged.
            ExecutionCancelled: the execution was cancelled.
            ExecutionFailed: a timeout, or a result that is not JSON or too large.
            DecodeError: the request is invalid; the error names the field.
            RuntimeError: not called from the main thread, or another run is in progress.
        """
        if self._run is not None:
            raise RuntimeError("this TaskEnvironment is running a task: it runs one at a time")
        check_number("cancel_at", cancel_at, ge=1, whole=True, optional=True)
        request = _make_request(
            task=task,
            config=config,
            client_id=client_id,
            execution_id=execution_id or uuid.uuid4().hex,
            labels=labels or {},
            timeout_seconds=timeout_seconds,
        )
        self._run = _Run(request, cancel_at, self.clock)
        self.progress = self._run.progress
        try:
            if not self._is_set_up:
                self._server.setup_worker()
                self._is_set_up = True
            return self._run.execute(self._server)
        finally:
            self._run = None

    def cancel(self) -> None:
        """Cancel the running task, as a server does; without one, do nothing. Thread-safe.

        A blocking call in the main thread is interrupted.
        """
        if (run := self._run) is not None:
            run.cancel()


class _Run:
    """One run of a task."""

    def __init__(self, request: ExecuteRequest, cancel_at: int | None, clock: MovableClock) -> None:
        assert request.execution_id is not None
        self.progress: list[ProgressEvent] = []
        self._request = request
        self._execution_id = request.execution_id
        self._cancel_at = cancel_at
        self._lock = threading.Lock()
        self._interrupt = Interrupt(_SIGNAL)
        self._clock = clock
        self._submitted_at = clock.time()
        self._timeout_error: ExecutionErrorInfo | None = None

    def execute(self, server: ExecutionServer) -> JsonValue:
        recorder = _ExceptionRecorder(server)
        if (limit := self._request.timeout_seconds) is not None:
            self._clock.call_at(self._clock.monotonic() + limit, self._time_out)
        with _installed(self._interrupt), ChildReports(self._collect) as reports:
            reporter = ProgressReporter(reports.link, self._send)
            outcome = run_task(
                recorder,
                self._request,
                ExecutionContext(self._request, reporter, self._interrupt),
                self._interrupt,
                server.config.max_message_bytes,
            )
        match outcome:
            case TaskReturned():
                result: JsonValue = decode_json(outcome.result)
                return result
            case TaskStopped():
                if self._timeout_error is not None:
                    record = self._record(ExecutionStatus.FAILED, self._timeout_error)
                    raise ExecutionFailed(record) from recorder.raised
                record = self._record(ExecutionStatus.CANCELLED)
                raise ExecutionCancelled(record) from recorder.raised
            case TaskRaised():
                if recorder.raised is not None:
                    raise recorder.raised
                raise ExecutionFailed(self._record(ExecutionStatus.FAILED, outcome.error))

    def cancel(self) -> None:
        self._interrupt.request(self._execution_id)

    def _time_out(self) -> None:
        message = f"the task ran longer than {self._request.timeout_seconds:g} s"
        self._timeout_error = ExecutionErrorInfo(kind=ErrorKind.TIMEOUT, message=message)
        self.cancel()

    def _send(self, body: bytes) -> None:
        with (
            self._interrupt.shielded()
        ):  # As in a worker: an interrupt is deferred until after the report.
            self._collect(body)

    def _collect(self, body: bytes) -> None:
        with self._lock:
            event = ProgressEvent(
                execution_id=self._execution_id,
                sequence=_PRECEDING_EVENTS + len(self.progress) + 1,
                timestamp=self._clock.time(),
                **decode_json(body),
            )
            self.progress.append(event)
            is_cancel_due = len(self.progress) == self._cancel_at
        if is_cancel_due:
            self.cancel()

    def _record(
        self, status: ExecutionStatus, error: ExecutionErrorInfo | None = None
    ) -> ExecutionRecord:
        return ExecutionRecord(
            execution_id=self._execution_id,
            client_id=self._request.client_id,
            status=status,
            labels=self._request.labels,
            submitted_at=self._submitted_at,
            started_at=self._submitted_at,
            finished_at=self._clock.time(),
            progress=self.progress[-1] if self.progress else None,
            error=error,
        )


class _ExceptionRecorder:
    """Keeps the exception that a task raised; a record has only its description."""

    def __init__(self, server: ExecutionServer) -> None:
        self.raised: BaseException | None = None
        self._server = server

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> Any:
        try:
            return self._server.execute_task(request, context)
        except BaseException as error:
            self.raised = error
            raise

    def serialize_result(self, result: Any) -> Any:
        return self._server.serialize_result(result)


@contextlib.contextmanager
def _installed(interrupt: Interrupt) -> Iterator[None]:
    """Install the signal handler of an interrupt."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "TaskEnvironment.run() was not called from the main thread, which an interrupt needs: "
            "run the test in the main thread"
        )
    before = interrupt.install()
    try:
        yield
    finally:
        signal.signal(interrupt.signum, signal.SIG_DFL if before is None else before)


def _make_request(**fields: Any) -> ExecuteRequest:
    """Return the request as a worker decodes it, from JSON."""
    request = decode_request(encode_json({"type": "execute", **fields}, "submission"))
    assert isinstance(request, ExecuteRequest)
    return request
