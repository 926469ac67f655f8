"""Runs tasks in a worker process, which is replaced when it exits."""

from __future__ import annotations

import contextlib
import logging
import pickle
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from zmqruntime.execution.core.events import (
    ProgressReported,
    TaskRaised,
    TaskReturned,
    TaskStopped,
    WorkerEvent,
    WorkerExited,
    WorkerReady,
)
from zmqruntime.execution.errors import UnpicklableServer
from zmqruntime.execution.runner import RunnerHost, TaskRunner
from zmqruntime.execution.worker import protocol
from zmqruntime.execution.worker.framing import Message
from zmqruntime.execution.worker.parent.link_server import LinkServer
from zmqruntime.execution.worker.parent.orphan import WorkerPidFile
from zmqruntime.execution.worker.parent.starting_worker import take_prestarted
from zmqruntime.execution.worker.parent.worker_process import WorkerProcess
from zmqruntime.execution.worker.parent.worker_program import WorkerProgram
from zmqruntime.execution.worker.task_logs import TaskLogs
from zmqruntime.messages import ExecutionErrorInfo, WorkerInfo
from zmqruntime.transport import EndpointError, ProcessIdentity, TransportMode

__all__ = ["WorkerProcessRunner"]

_log = logging.getLogger("zmqruntime.server")

_QUIT_SECONDS = 3.0
# What a worker sends beside a result: the error of a task, with its traceback.
_RESERVED_BYTES = 2**20
# No portable event reports the growth of a file.
_TRIM_SECONDS = 1.0


class WorkerProcessRunner(TaskRunner):
    """Runs one task at a time in a worker process.

    Args:
        server: the application's server object, pickled for the worker.
        max_log_bytes: limit of a task's captured stdout and stderr, of which the newest part is
            kept; 0: not captured, and inherited from the server.
        journal: the server's journal, locked by this process; the worker's PID file is beside it.

    Raises:
        UnpicklableServer: the object cannot be pickled; the message names the reason.
    """

    def __init__(self, server: object, max_log_bytes: int = 0, journal: Path | None = None) -> None:
        try:
            self._server = pickle.dumps(server)
        except Exception as error:  # noqa: BLE001 - an application's __reduce__ may raise anything
            name = type(server).__qualname__
            remedy = (
                f"{name} is defined inside a function: move it to the top of its module"
                if "<locals>" in name
                else "Keep what cannot be pickled out of __init__, and open it in setup_worker()"
            )
            raise UnpicklableServer(
                f"{name} cannot be sent to its worker process: {error}. {remedy}"
            ) from None
        self._pid_file = WorkerPidFile(journal)
        self._prestarted = take_prestarted()
        self._program = self._prestarted.program if self._prestarted else WorkerProgram()
        self._host: RunnerHost
        self._links: LinkServer
        self._worker: WorkerProcess | None = None
        self._assigned: str | None = None
        """The execution that the worker runs, from its assignment to its end."""
        self._interrupted_at: float | None = None
        """When that execution was interrupted."""
        self._max_log_bytes = max_log_bytes
        self._logs = TaskLogs()
        self._is_open = False
        self._is_trimming = False
        self._was_ready = False

    def open(self, host: RunnerHost) -> None:
        self._host = host
        path: Path | None = None
        if host.endpoint.transport_mode is TransportMode.IPC:
            # Shorter than the path of the data socket, and so within the limit of a Unix socket.
            path = host.endpoint.data_path.with_suffix(".w")
        self._links = LinkServer(
            host.loop,
            path,
            self._on_greeting,
            self._on_messages,
            self._on_invalid,
            host.max_message_bytes + _RESERVED_BYTES,
        )
        self._is_open = True
        if self._max_log_bytes:
            self._logs = TaskLogs.open(host.endpoint, host.log_dir, self._max_log_bytes)

    def restore_files(self) -> None:
        self._links.restore_socket()

    def start_worker(self, slot: int = 0) -> None:
        failure = ""
        try:
            self._links.restore_socket()
        except (EndpointError, OSError) as error:
            failure = f"it could not connect: {error}"
        setup = protocol.WorkerSetup(
            server=self._server,
            server_process=ProcessIdentity.current(),
            address=self._links.address,
            token=secrets.token_bytes(protocol.TOKEN_BYTES),
            max_message_bytes=self._host.max_message_bytes,
            log_directory=self._logs.directory,
            max_log_bytes=self._max_log_bytes,
            name=f"worker-{secrets.token_hex(4)}",
        )
        self._links.set_token(setup.token)
        post = self._host.loop.post
        prestarted, self._prestarted = self._prestarted, None
        self._worker = worker = WorkerProcess(
            self._program,
            setup,
            self._pid_file,
            lambda exit_code: post(lambda: self._on_exit(exit_code)),
            prestarted,
        )
        if not failure:
            try:
                worker.start()
            except RuntimeError as error:  # No thread is left.
                failure = f"the process could not be started: {error}"
        if failure:
            worker.failure = failure
            post(lambda: self._on_exit(None))

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        worker = self._worker
        if worker is None or not worker.is_set_up:
            return  # It has exited while the assignment waited for a commit.
        self._links.send(protocol.TASKS, protocol.ASSIGN, execution_id, request)
        self._assigned = execution_id
        self._interrupted_at = None
        worker.assigned += 1
        if self._logs.directory is not None and not self._is_trimming:
            self._is_trimming = True
            self._host.loop.call_at(time.monotonic() + _TRIM_SECONDS, self._trim_log)

    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        if execution_id == self._assigned:
            self._interrupted_at = time.monotonic()
        self._links.send(protocol.COMMANDS, protocol.INTERRUPT, execution_id)

    def kill_worker(self, slot: int = 0) -> None:
        if self._assigned is None or self._interrupted_at is None:
            self._kill("killed by the server")
        else:
            seconds = time.monotonic() - self._interrupted_at
            self._kill(f"killed at the end of the grace period, {seconds:.1f} s after an interrupt")

    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[WorkerInfo, ...]:
        return self._worker.describe(execution_id) if self._worker is not None else ()

    def close(self) -> None:
        worker = self._worker
        if worker is not None:
            if self._is_ready and self._assigned is None:
                self._links.send(protocol.TASKS, protocol.QUIT)
                self._links.send(protocol.COMMANDS, protocol.QUIT)
                worker.join(_QUIT_SECONDS)
            worker.kill_and_join(_QUIT_SECONDS)
            self._logs.seal(worker.name, self._assigned)
        self._is_open = False
        self._links.close()

    # -- task logs --------------------------------------------------------------------------

    def name_log(self, execution_id: str) -> str | None:
        return self._logs.path_text(execution_id)

    def read_log(self, execution_id: str, max_bytes: int) -> tuple[bytes, int]:
        runs_it = self._worker is not None and self._assigned == execution_id
        worker = self._worker.name if self._worker and runs_it else None
        return self._logs.read_tail(execution_id, max_bytes, worker)

    def forget_log(self, execution_id: str) -> None:
        self._logs.remove(execution_id)

    def sweep_logs(self, is_kept: Callable[[str], bool], interrupted: str | None = None) -> None:
        if self._logs.directory is None:
            return  # Not captured, or never opened.
        if self._is_open:
            self._logs.sweep(is_kept, interrupted)
        else:
            self._logs.close(is_kept)

    def _trim_log(self) -> None:
        self._is_trimming = self._assigned is not None
        if self._is_trimming and self._worker is not None:
            self._logs.trim_live(self._worker.name)
            self._host.loop.call_at(time.monotonic() + _TRIM_SECONDS, self._trim_log)

    # -- messages of the worker -------------------------------------------------------------

    @property
    def _is_ready(self) -> bool:
        """Whether the worker is set up and can receive an interrupt."""
        return (
            self._worker is not None
            and self._worker.is_set_up
            and self._links.is_connected(protocol.COMMANDS)
        )

    def _on_greeting(self, purpose: bytes) -> None:
        if purpose == protocol.COMMANDS and (event := self._make_ready_event()) is not None:
            self._host.emit(event)

    def _make_ready_event(self) -> WorkerReady | None:
        self._was_ready = self._was_ready or self._is_ready
        return WorkerReady() if self._is_ready else None

    def _on_invalid(self, purpose: bytes, reason: str) -> None:
        """Kill the worker after an invalid message; a reporting process only loses its link."""
        if purpose == protocol.REPORTS:
            _log.error("invalid message from a process of a task: %s; link closed", reason)
            return
        _log.error("invalid message from the worker process: %s; killing it", reason)
        self._kill("killed after an invalid message")

    def _on_messages(self, purpose: bytes, messages: Sequence[Message]) -> None:
        for group in protocol.group_reports(messages):
            try:
                event = self._translate(purpose, group)
            except ValidationError as error:
                self._on_invalid(purpose, str(error))
                continue
            if event is None:
                continue
            if not isinstance(event, ProgressReported):
                self._assigned = None
            self._host.emit(event)

    def _translate(self, purpose: bytes, group: Sequence[Message]) -> WorkerEvent | None:
        """Return the event of a message, or of a group of progress reports of one task."""
        worker, (kind, execution_id, body) = self._worker, group[0]
        if worker is None:
            return None  # From a process that an earlier worker left.
        if kind == protocol.PROGRESS:
            return ProgressReported(execution_id, tuple([report.body for report in group]))
        if purpose != protocol.TASKS:
            return None  # Other links carry progress only.
        match kind:
            case protocol.RETURNED:
                return TaskReturned(execution_id, body)
            case protocol.RAISED:
                return TaskRaised(execution_id, ExecutionErrorInfo.model_validate_json(body))
            case protocol.INTERRUPTED:
                return TaskStopped(execution_id)
            case protocol.SETUP_FAILED:
                worker.failure = body.decode(errors="backslashreplace")
            case protocol.READY:
                worker.is_set_up = True
                return self._make_ready_event()
        return None

    # -- its exit ---------------------------------------------------------------------------

    def _kill(self, reason: str) -> None:
        if self._worker is not None:
            self._worker.kill_reason = self._worker.kill_reason or reason
            self._worker.kill()

    def _on_exit(self, exit_code: int | None) -> None:
        worker = self._worker
        assert worker is not None
        # Messages that it sent before its exit still count.
        received: list[WorkerEvent | None] = []
        with contextlib.suppress(ValidationError):
            for purpose, messages in self._links.drain():
                received += [
                    self._translate(purpose, group) for group in protocol.group_reports(messages)
                ]
        last = tuple(event for event in received if event is not None)
        self._logs.seal(worker.name, self._assigned)
        has_started = self._assigned is not None and worker.has_started_task
        if worker.is_set_up:
            is_running = has_started and all(isinstance(event, ProgressReported) for event in last)
            worker.log_exit(exit_code, self._assigned if is_running else None)
        else:
            worker.log_failed_start(exit_code, is_first=not self._was_ready)
        self._worker = self._assigned = None
        self._host.emit(WorkerExited(exit_code, worker.failure, last, has_started))
