"""An application's task, run by itself: no server, no worker process, no socket to wait for."""

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

_EVENTS_BEFORE = 2
"""A server tells that an execution is queued, and that it runs, before its first progress."""

# Not SIGINT: a Ctrl-C stays the developer's. Ignored by default, so that one that arrives when
# the task has just ended hits nobody.
_SIGNAL = signal.Signals["SIGURG" if hasattr(signal, "SIGURG") else "SIGBREAK"]


class TaskEnvironment:
    """Runs an application's ``execute_task`` in this thread, as its worker process would.

    Request and result go through JSON, progress is collected, and a cancel is a flag and an
    interrupt. What is not as in a worker: the server object is used as it is, so that a test can
    put fakes into it, and a task that ignores a cancel is not killed.

    Args:
        server: an instance that need not be started; `setup_worker` is called before its first
            task.
        clock: gives the times of events and records, and tells when ``timeout_seconds`` are
            over; None for one that stands still until ``environment.clock.advance(5)``.
    """

    def __init__(self, server: ExecutionServer, clock: MovableClock | None = None) -> None:
        check_type("server", server, ExecutionServer)
        self.clock = MovableClock() if clock is None else clock
        self.progress: list[ProgressEvent] = []
        """What the task reported in the latest run, from whichever thread or process."""
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
        """Run the task and return its result, as a client would get it.

        Args:
            task: what a client submits.
            config: the same.
            client_id: who submits.
            execution_id: None for a new one.
            labels: kept with the record.
            timeout_seconds: how long, by ``clock``, the task may run; then it is interrupted.
            cancel_at: cancel it when it has reported progress so many times.

        Raises:
            BaseException: whatever the task raised, as it is.
            ExecutionCancelled: it was cancelled, and stopped.
            ExecutionFailed: its time was up, or its result is not JSON or too long for a message.
            DecodeError: the submission itself is wrong; the error names the field.
            RuntimeError: this is not the main thread, or another run is under way.
        """
        if self._run is not None:
            raise RuntimeError("this environment runs a task already: one at a time, as a worker")
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
        """Tell the running task to stop, as a server does; nothing happens when none runs.

        From any thread. A task in its main thread is interrupted also where it waits.
        """
        if (run := self._run) is not None:
            run.cancel()


class _Run:
    """One task from its request to its end."""

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
        witness = _Witness(server)
        if (limit := self._request.timeout_seconds) is not None:
            self._clock.call_at(self._clock.monotonic() + limit, self._time_out)
        with _installed(self._interrupt), ChildReports(self._collect) as reports:
            reporter = ProgressReporter(reports.link, self._send)
            outcome = run_task(
                witness,
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
                    raise ExecutionFailed(record) from witness.raised
                record = self._record(ExecutionStatus.CANCELLED)
                raise ExecutionCancelled(record) from witness.raised
            case TaskRaised():
                if witness.raised is not None:
                    raise witness.raised
                raise ExecutionFailed(self._record(ExecutionStatus.FAILED, outcome.error))

    def cancel(self) -> None:
        self._interrupt.request(self._execution_id)

    def _time_out(self) -> None:
        message = f"the task ran longer than {self._request.timeout_seconds:g} s"
        self._timeout_error = ExecutionErrorInfo(kind=ErrorKind.TIMEOUT, message=message)
        self.cancel()

    def _send(self, body: bytes) -> None:
        with self._interrupt.shielded():  # As in a worker: an interrupt waits for the report.
            self._collect(body)

    def _collect(self, body: bytes) -> None:
        with self._lock:
            event = ProgressEvent(
                execution_id=self._execution_id,
                sequence=_EVENTS_BEFORE + len(self.progress) + 1,
                timestamp=self._clock.time(),
                **decode_json(body),
            )
            self.progress.append(event)
            is_time = len(self.progress) == self._cancel_at
        if is_time:
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


class _Witness:
    """Sees what a task raised, which a record tells in words only."""

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
    """Lend its signal to an interrupt."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a task runs in the main thread, as in a worker; this is another one")
    before = interrupt.install()
    try:
        yield
    finally:
        signal.signal(interrupt.signum, signal.SIG_DFL if before is None else before)


def _make_request(**fields: Any) -> ExecuteRequest:
    """Return the request as a worker reads it, from JSON."""
    request = decode_request(encode_json({"type": "execute", **fields}, "submission"))
    assert isinstance(request, ExecuteRequest)
    return request
