"""The task runner whose tasks run in a process of their own, which is replaced when it ends."""

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
from zmqruntime.execution.worker.bootstrap import WorkerProgram, take_begun
from zmqruntime.execution.worker.framing import Message
from zmqruntime.execution.worker.parent.link_server import LinkHub
from zmqruntime.execution.worker.parent.log_keeper import LogKeeper
from zmqruntime.execution.worker.parent.orphan import WorkerNote
from zmqruntime.execution.worker.parent.worker_process import WorkerProcess
from zmqruntime.messages import ExecutionErrorInfo, WorkerInfo
from zmqruntime.transport import (
    EndpointError,
    ProcessIdentity,
    TransportMode,
    describe_exit,
)

__all__ = ["WorkerProcessRunner"]

_log = logging.getLogger("zmqruntime.server")

_STOP_SECONDS = 3.0
# What a worker says beside a result: how a task has failed, with its traceback.
_RESERVED_BYTES = 2**20
# No system tells portably that a file has grown.
_TRIM_SECONDS = 1.0


class WorkerProcessRunner(TaskRunner):
    """Runs tasks in one spawned process that is replaced when it ends.

    Args:
        server: the application's server object, which is sent to the worker.
        max_log_bytes: how much of what a task writes to stdout and stderr is kept, the newest;
            0: nothing is, and it goes where the server's own output goes.
        journal: the server's, which nobody else uses: the worker of a server that was killed is
            found beside it, and ended.

    Raises:
        UnpicklableServer: the object cannot be pickled; the message says what is in the way.
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
        self._note = WorkerNote(journal)
        self._begun = take_begun()
        self._program = self._begun.program if self._begun is not None else WorkerProgram()
        self._host: RunnerHost
        self._hub: LinkHub
        self._worker: WorkerProcess | None = None
        self._assigned: str | None = None
        """What the worker runs, from when it was told to until it says how that has ended."""
        self._max_log_bytes = max_log_bytes
        self._logs = LogKeeper()
        self._is_open = False
        self._trims = False
        self._was_ready = False

    def open(self, host: RunnerHost) -> None:
        self._host = host
        path: Path | None = None
        if host.endpoint.transport_mode is TransportMode.IPC:
            # Shorter than the data socket's path, so it fits where that one does.
            path = host.endpoint.data_path.with_suffix(".w")
        self._hub = LinkHub(
            host.loop,
            path,
            self._on_greeting,
            self._on_messages,
            self._on_broken,
            host.max_message_bytes + _RESERVED_BYTES,
        )
        self._is_open = True
        if self._max_log_bytes:
            self._logs = LogKeeper.at(host.endpoint, host.log_dir, self._max_log_bytes)

    def restore_files(self) -> None:
        self._hub.restore()

    def start_worker(self, slot: int = 0) -> None:
        failure = ""
        try:
            self._hub.restore()
        except (EndpointError, OSError) as error:
            failure = f"it could not connect: {error}"
        setup = protocol.WorkerSetup(
            server=self._server,
            server_process=ProcessIdentity.current(),
            address=self._hub.address,
            token=secrets.token_bytes(protocol.TOKEN_BYTES),
            max_message_bytes=self._host.max_message_bytes,
            log_directory=self._logs.directory,
            max_log_bytes=self._max_log_bytes,
            name=f"worker-{secrets.token_hex(4)}",
        )
        self._hub.expect(setup.token)
        post = self._host.loop.post
        begun, self._begun = self._begun, None
        self._worker = worker = WorkerProcess(
            self._program,
            setup,
            self._note,
            lambda exit_code: post(lambda: self._on_exit(exit_code)),
            begun,
        )
        if not failure:
            try:
                worker.start()
            except RuntimeError as error:  # The system has no thread left.
                failure = f"the process could not be started: {error}"
        if failure:
            worker.last_words = failure
            post(lambda: self._on_exit(None))

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        worker = self._worker
        if worker is None or not worker.is_set_up:
            return  # It has ended while the assignment waited for a commit.
        self._hub.send(protocol.TASKS, protocol.ASSIGN, execution_id, request)
        self._assigned = execution_id
        worker.assigned += 1
        if self._logs.directory is not None and not self._trims:
            self._trims = True
            self._host.loop.call_at(time.monotonic() + _TRIM_SECONDS, self._trim_log)

    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        self._hub.send(protocol.COMMANDS, protocol.INTERRUPT, execution_id)

    def kill_worker(self, slot: int = 0) -> None:
        if self._worker is not None:
            self._worker.kill()

    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[WorkerInfo, ...]:
        return self._worker.describe(execution_id) if self._worker is not None else ()

    def close(self) -> None:
        worker = self._worker
        if worker is not None:
            if self._is_ready and self._assigned is None:
                self._hub.send(protocol.TASKS, protocol.STOP)
                self._hub.send(protocol.COMMANDS, protocol.STOP)
                worker.join(_STOP_SECONDS)
            worker.end(_STOP_SECONDS)
            self._logs.seal(worker.name, self._assigned)
        self._is_open = False
        self._hub.close()

    # -- what tasks write -------------------------------------------------------------------

    def name_log(self, execution_id: str) -> str | None:
        return self._logs.name_of(execution_id)

    def read_log(self, execution_id: str, max_bytes: int) -> tuple[bytes, int]:
        runs_it = self._worker is not None and self._assigned == execution_id
        worker = self._worker.name if self._worker and runs_it else None
        return self._logs.read_tail(execution_id, max_bytes, worker)

    def forget_log(self, execution_id: str) -> None:
        self._logs.forget(execution_id)

    def sweep_logs(self, is_kept: Callable[[str], bool], interrupted: str | None = None) -> None:
        if self._logs.directory is None:
            return  # Nothing is kept, or this was never opened.
        if self._is_open:
            self._logs.sweep(is_kept, interrupted)
        else:
            self._logs.close(is_kept)

    def _trim_log(self) -> None:
        self._trims = self._assigned is not None
        if self._trims and self._worker is not None:
            self._logs.trim(self._worker.name)
            self._host.loop.call_at(time.monotonic() + _TRIM_SECONDS, self._trim_log)

    # -- what the worker says ---------------------------------------------------------------

    def _explain_failed_start(self, worker: WorkerProcess, exit_code: int | None) -> None:
        """Log why a worker did not get ready, and add to its last words what may be the reason."""
        changes = self._program.find_changes()
        worker.last_words = "\n".join([*filter(None, [worker.last_words]), *changes])
        how = "not started" if exit_code is None else describe_exit(exit_code)
        reason = worker.last_words or "the output of the process, if it had any, is in this log"
        if not self._was_ready:  # It ends the server, which raises the whole reason.
            reason = reason.splitlines()[-1]
        _log.error("the worker process did not get ready (%s): %s", how, reason)

    @property
    def _is_ready(self) -> bool:
        """Whether it is set up, and can be told to stop what it will do."""
        return (
            self._worker is not None and self._worker.is_set_up and self._hub.has(protocol.COMMANDS)
        )

    def _on_greeting(self, purpose: bytes) -> None:
        if purpose == protocol.COMMANDS and (event := self._note_if_ready()) is not None:
            self._host.emit(event)

    def _note_if_ready(self) -> WorkerReady | None:
        self._was_ready = self._was_ready or self._is_ready
        return WorkerReady() if self._is_ready else None

    def _on_broken(self, purpose: bytes, reason: str) -> None:
        """End a worker that cannot be understood any more; what it starts is only not heard."""
        _log.error("a worker, or what it has started, said what makes no sense: %s", reason)
        if purpose != protocol.REPORTS:
            self.kill_worker()

    def _on_messages(self, purpose: bytes, messages: Sequence[Message]) -> None:
        for said in protocol.gather_reports(messages):
            try:
                event = self._translate(purpose, said)
            except ValidationError as error:
                self._on_broken(purpose, str(error))
                continue
            if event is None:
                continue
            if not isinstance(event, ProgressReported):
                self._assigned = None
            self._host.emit(event)

    def _translate(self, purpose: bytes, said: Sequence[Message]) -> WorkerEvent | None:
        """Return what a message means, or several reports of one task."""
        worker, (kind, execution_id, body) = self._worker, said[0]
        if worker is None:
            return None  # From what a worker of before has left behind.
        if kind == protocol.PROGRESS:
            return ProgressReported(execution_id, tuple([report.body for report in said]))
        if purpose != protocol.TASKS:
            return None  # Nothing else is said there.
        match kind:
            case protocol.RETURNED:
                return TaskReturned(execution_id, body)
            case protocol.RAISED:
                return TaskRaised(execution_id, ExecutionErrorInfo.model_validate_json(body))
            case protocol.STOPPED:
                return TaskStopped(execution_id)
            case protocol.FAILED:
                worker.last_words = body.decode(errors="backslashreplace")
            case protocol.READY:
                worker.is_set_up = True
                return self._note_if_ready()
        return None

    def _on_exit(self, exit_code: int | None) -> None:
        worker = self._worker
        assert worker is not None
        # What it said before it ended still counts.
        heard: list[WorkerEvent | None] = []
        with contextlib.suppress(ValidationError):
            for purpose, messages in self._hub.drain():
                heard += [
                    self._translate(purpose, said) for said in protocol.gather_reports(messages)
                ]
        self._logs.seal(worker.name, self._assigned)
        has_begun = self._assigned is not None and worker.has_begun
        self._worker = self._assigned = None
        if worker.is_set_up:
            _log.info("the worker process ended (%s)", exit_code)
        else:
            self._explain_failed_start(worker, exit_code)
        last = tuple(event for event in heard if event is not None)
        self._host.emit(WorkerExited(exit_code, worker.last_words, last, has_begun))
