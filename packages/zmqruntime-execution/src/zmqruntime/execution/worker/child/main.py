"""The child side of a worker: one process, one task at a time, in its main thread.

The process lives on between tasks, so what an application keeps on ``self`` stays warm. It
ends by itself when its server is gone.
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
from zmqruntime.execution.worker.begun_tasks import BegunTasks
from zmqruntime.execution.worker.child.context import ExecutionContext
from zmqruntime.execution.worker.child.forked_child import EndForkedChildren
from zmqruntime.execution.worker.child.interrupt import Interrupt
from zmqruntime.execution.worker.child.link_client import LinkClosed, WorkerLink
from zmqruntime.execution.worker.child.outbox import ProgressOutbox
from zmqruntime.execution.worker.child.output import TaskOutput
from zmqruntime.execution.worker.child.process_state import ProcessState
from zmqruntime.execution.worker.child.reporter import ProgressReporter, ServerReportLink
from zmqruntime.execution.worker.child.run_processes import RunProcesses
from zmqruntime.execution.worker.child.task import describe_invalid_request, run_task
from zmqruntime.execution.worker.child.task_logging import set_up_logging
from zmqruntime.execution.worker.task_logs import TaskLogs
from zmqruntime.messages import ExecuteRequest, encode
from zmqruntime.transport import ProcessIdentity
from zmqruntime.transport.process.inherited_state import reset_signals
from zmqruntime.transport.process.process_tree import (
    RUN_VARIABLE,
    WORKER_VARIABLE,
    kill_all,
    kill_process_group,
)

if TYPE_CHECKING:
    from zmqruntime.execution.server.server import ExecutionServer

__all__ = ["worker_main"]

# A task that spins lets the thread that hears of a cancel have its turn this soon, not after 5 ms.
_SWITCH_SECONDS = 0.001


def worker_main(setup: protocol.WorkerSetup, begun_tasks: BegunTasks) -> None:
    """Be a worker until the server says stop, or is gone."""
    interrupt = Interrupt()
    sys.setswitchinterval(_SWITCH_SECONDS)
    _leave_the_terminal(interrupt)
    _end_with(setup.server_process)
    with contextlib.suppress(LinkClosed):  # Then it is gone; nobody is left to be told.
        _Worker(setup, interrupt, begun_tasks).run()


class _Worker:
    def __init__(
        self, setup: protocol.WorkerSetup, interrupt: Interrupt, begun_tasks: BegunTasks
    ) -> None:
        self._setup = setup
        self._interrupt = interrupt
        self._begun_tasks = begun_tasks
        self._lock = threading.Lock()
        """Hands the link from thread to thread."""
        self._output = _make_output(setup)
        self._commands = WorkerLink(setup.address, setup.token + protocol.COMMANDS)
        self._tasks = WorkerLink(setup.address, setup.token + protocol.TASKS)

    def run(self) -> None:
        threading.Thread(target=self._listen, name="zmqruntime-commands", daemon=True).start()
        try:
            server = self._make_server()
        except BaseException:  # noqa: BLE001 - whatever it is, the server has to tell it
            words = traceback.format_exc().encode(errors="backslashreplace")
            self._tasks.send(protocol.FAILED, body=words)
            raise SystemExit(1) from None
        else:
            gc.freeze()  # What is loaded stays: no collection has to look at it again.
            self._tasks.send(protocol.READY)
            self._serve(server)
        finally:
            self._tasks.close()
            _end_children()

    def _make_server(self) -> ExecutionServer:
        with EndForkedChildren():
            server: ExecutionServer = pickle.loads(self._setup.server)
            server.setup_worker()
        set_up_logging()
        return server

    def _serve(self, server: ExecutionServer) -> None:
        mark = os.environ.get(WORKER_VARIABLE, "")
        # The other half is for the task, to end by itself.
        self._interrupt.import_patience = server.cancel_grace_seconds / 2
        self._processes = RunProcesses(mark, server.cancel_grace_seconds)
        state = ProcessState()
        outcome: TaskReturned | TaskRaised | TaskStopped
        number = 0
        while (said := self._tasks.receive()).kind != protocol.STOP:
            number += 1
            state.restore()
            state.set_variable(RUN_VARIABLE, self._processes.begin())
            outbox = ProgressOutbox(self._tasks, said.execution_id)
            try:
                # The server has checked it, but for the task and the config of a long one.
                request = ExecuteRequest.from_trusted_json(said.body)
            except ValidationError as error:
                described = describe_invalid_request(said.body, error)
                outcome = TaskRaised(said.execution_id, described)
            else:
                self._begun_tasks.note(number)
                outcome = self._run(server, request, outbox)
            if not isinstance(outcome, TaskReturned):
                self._processes.end()
            with self._lock:
                outbox.flush()
                self._tasks.send(*_tell(outcome))
            if self._output is not None:
                self._output.lead_back()

    def _run(
        self, server: ExecutionServer, request: ExecuteRequest, outbox: ProgressOutbox
    ) -> TaskReturned | TaskRaised | TaskStopped:
        def send(body: bytes) -> None:
            # What is told half would be told twice.
            with self._interrupt.shielded(), self._lock:
                outbox.send(body)

        setup, execution_id = self._setup, outbox.execution_id
        reporter = ProgressReporter(
            ServerReportLink(execution_id, setup.address, setup.token), send
        )
        context = ExecutionContext(request, reporter, self._interrupt, self._processes.keep)
        if self._output is not None:
            self._output.lead_away(execution_id)
        try:
            return run_task(server, request, context, self._interrupt, setup.max_message_bytes)
        finally:
            if self._output is not None:
                self._output.keep(execution_id)

    def _listen(self) -> None:
        with contextlib.suppress(LinkClosed), contextlib.closing(self._commands):
            while (said := self._commands.receive()).kind != protocol.STOP:
                self._interrupt.request(said.execution_id)


def _tell(outcome: TaskReturned | TaskRaised | TaskStopped) -> tuple[bytes, str, bytes]:
    match outcome:
        case TaskReturned():
            return protocol.RETURNED, outcome.execution_id, outcome.result
        case TaskRaised():
            return protocol.RAISED, outcome.execution_id, encode(outcome.error)
        case TaskStopped():
            return protocol.STOPPED, outcome.execution_id, b""


def _make_output(setup: protocol.WorkerSetup) -> TaskOutput | None:
    if setup.log_directory is None:
        return None
    return TaskOutput(TaskLogs(setup.log_directory, setup.max_log_bytes), setup.name)


def _leave_the_terminal(interrupt: Interrupt) -> None:
    """Let Ctrl-C be the server's, and make this process the head of a group of its own."""
    interrupt.install()
    if hasattr(os, "setsid"):
        os.setsid()
        # A forked child of a task is a plain Python program: Ctrl-C raises in it.
        os.register_at_fork(
            after_in_child=lambda: signal.signal(interrupt.signum, signal.default_int_handler)
        )
    # The parent started this process with SIGINT blocked, so that none came too early; and the
    # application may have blocked or ignored others.
    reset_signals()


def _end_with(server: ProcessIdentity) -> None:
    """End this process and all that it started when the server is gone."""

    def watch() -> None:
        server.wait()
        try:
            _end_children()
            if hasattr(os, "getpgrp"):
                kill_process_group(os.getpgrp())  # Those too whose own parent has ended.
        finally:
            os._exit(1)

    threading.Thread(target=watch, name="zmqruntime-server-watch", daemon=True).start()


def _end_children() -> None:
    kill_all(psutil.Process().children(recursive=True))
