"""Main loop of the worker process: one task at a time, in the main thread.

The process is reused for the next task, so that what an application keeps on ``self`` stays loaded.
It exits with its server.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING

import psutil
from pydantic import ValidationError

from zmqruntime.execution.core.events import TaskRaised, TaskReturned, TaskStopped
from zmqruntime.execution.worker import protocol
from zmqruntime.execution.worker.child.context import ExecutionContext
from zmqruntime.execution.worker.child.forked_child import ExitForkedChildren
from zmqruntime.execution.worker.child.interrupt import Interrupt
from zmqruntime.execution.worker.child.link_client import LinkClient, LinkClosed
from zmqruntime.execution.worker.child.outbox import ProgressOutbox
from zmqruntime.execution.worker.child.output import TaskOutput
from zmqruntime.execution.worker.child.process_state import ProcessState
from zmqruntime.execution.worker.child.reporter import ProgressReporter, ServerReportLink
from zmqruntime.execution.worker.child.run_processes import RunProcesses
from zmqruntime.execution.worker.child.task import describe_invalid_request, run_task
from zmqruntime.execution.worker.child.task_logging import configure_logging
from zmqruntime.execution.worker.start_marker import StartMarker
from zmqruntime.execution.worker.task_logs import TaskLogFiles
from zmqruntime.messages import ExecuteRequest, encode
from zmqruntime.transport import ProcessIdentity
from zmqruntime.transport.lowlevel import (
    RUN_VARIABLE,
    WORKER_VARIABLE,
    kill_all,
    kill_process_group,
    reset_signals,
)

if TYPE_CHECKING:
    from zmqruntime.execution.server.server import ExecutionServer

__all__ = ["worker_main"]

# Switch interval of the GIL, 5 ms by default: how soon the commands thread runs beside a task that
# computes.
_SWITCH_SECONDS = 0.001


def worker_main(setup: protocol.WorkerSetup, start_marker: StartMarker) -> None:
    """Run a worker until the server sends QUIT, or exits."""
    interrupt = Interrupt()
    sys.setswitchinterval(_SWITCH_SECONDS)
    _detach_from_terminal(interrupt)
    _exit_with(setup.server_process)
    with contextlib.suppress(LinkClosed):  # The server has exited.
        _Worker(setup, interrupt, start_marker).run()


class _Worker:
    def __init__(
        self, setup: protocol.WorkerSetup, interrupt: Interrupt, start_marker: StartMarker
    ) -> None:
        self._setup = setup
        self._interrupt = interrupt
        self._start_marker = start_marker
        self._lock = threading.Lock()
        """Held while a thread uses the tasks link."""
        self._output = _make_output(setup)
        self._commands = LinkClient(setup.address, setup.token + protocol.COMMANDS)
        self._tasks = LinkClient(setup.address, setup.token + protocol.TASKS)

    def run(self) -> None:
        threading.Thread(target=self._run_commands, name="zmqruntime-commands", daemon=True).start()
        try:
            server = self._make_server()
        except BaseException:  # noqa: BLE001 - the application's; the server reports it
            failure = traceback.format_exc().rstrip().encode(errors="backslashreplace")
            self._tasks.send(protocol.SETUP_FAILED, body=failure)
            raise SystemExit(1) from None
        else:
            gc.freeze()  # Loaded modules stay: exempt them from garbage collection.
            self._tasks.send(protocol.READY)
            self._run_tasks(server)
        finally:
            self._tasks.close()
            _kill_children()

    def _make_server(self) -> ExecutionServer:
        with ExitForkedChildren():
            server: ExecutionServer = pickle.loads(self._setup.server)
            server.setup_worker()
        configure_logging()
        return server

    def _run_tasks(self, server: ExecutionServer) -> None:
        mark = os.environ.get(WORKER_VARIABLE, "")
        # The other half is for the cleanup of the task.
        self._interrupt.import_patience = server.cancel_grace_seconds / 2
        self._processes = RunProcesses(mark, server.cancel_grace_seconds)
        state = ProcessState()
        outcome: TaskReturned | TaskRaised | TaskStopped
        number = 0
        while (message := self._tasks.receive()).kind != protocol.QUIT:
            number += 1
            state.restore()
            state.set_variable(RUN_VARIABLE, self._processes.begin_run())
            outbox = ProgressOutbox(self._tasks, message.execution_id)
            try:
                # Validated by the server, except the task and the config of a long request.
                request = ExecuteRequest.from_trusted_json(message.body)
            except ValidationError as error:
                described = describe_invalid_request(message.body, error)
                outcome = TaskRaised(message.execution_id, described)
            else:
                self._start_marker.mark_started(number)
                outcome = self._run_task(server, request, outbox)
            if not isinstance(outcome, TaskReturned):
                self._processes.terminate_run()
            with self._lock:
                outbox.flush()
                self._tasks.send(*_encode_outcome(outcome))
            if self._output is not None:
                self._output.restore()

    def _run_task(
        self, server: ExecutionServer, request: ExecuteRequest, outbox: ProgressOutbox
    ) -> TaskReturned | TaskRaised | TaskStopped:
        def send(body: bytes) -> None:
            # Shielded: an interrupt within a send would have the report sent twice.
            with self._interrupt.shielded(), self._lock:
                outbox.send(body)

        setup, execution_id = self._setup, outbox.execution_id
        reporter = ProgressReporter(
            ServerReportLink(execution_id, setup.address, setup.token), send
        )
        context = ExecutionContext(request, reporter, self._interrupt, self._processes.keep)
        if self._output is not None:
            self._output.redirect(execution_id)
        try:
            return run_task(server, request, context, self._interrupt, setup.max_message_bytes)
        finally:
            if self._output is not None:
                self._output.seal(execution_id)

    def _run_commands(self) -> None:
        with contextlib.suppress(LinkClosed), contextlib.closing(self._commands):
            while (message := self._commands.receive()).kind != protocol.QUIT:
                self._interrupt.request(message.execution_id)


def _encode_outcome(outcome: TaskReturned | TaskRaised | TaskStopped) -> tuple[bytes, str, bytes]:
    match outcome:
        case TaskReturned():
            return protocol.RETURNED, outcome.execution_id, outcome.result
        case TaskRaised():
            return protocol.RAISED, outcome.execution_id, encode(outcome.error)
        case TaskStopped():
            return protocol.INTERRUPTED, outcome.execution_id, b""


def _make_output(setup: protocol.WorkerSetup) -> TaskOutput | None:
    if setup.log_directory is None:
        return None
    return TaskOutput(TaskLogFiles(setup.log_directory, setup.max_log_bytes), setup.name)


def _detach_from_terminal(interrupt: Interrupt) -> None:
    """Start a session of its own, in which Ctrl-C does not reach this process."""
    interrupt.install()
    if hasattr(os, "setsid"):
        os.setsid()
        # A forked child handles SIGINT as any Python program.
        os.register_at_fork(
            after_in_child=lambda: signal.signal(interrupt.signum, signal.default_int_handler)
        )
    # SIGINT was blocked by the parent until the handler is installed; other signals may be blocked
    # or ignored by the application.
    reset_signals()


def _exit_with(server: ProcessIdentity) -> None:
    """Exit, and kill all descendants, when the server exits."""

    def watch() -> None:
        server.wait()
        try:
            _kill_children()
            if hasattr(os, "getpgrp"):
                kill_process_group(os.getpgrp())  # With those whose own parent has exited.
        finally:
            os._exit(1)

    threading.Thread(target=watch, name="zmqruntime-server-watch", daemon=True).start()


def _kill_children() -> None:
    kill_all(psutil.Process().children(recursive=True))
