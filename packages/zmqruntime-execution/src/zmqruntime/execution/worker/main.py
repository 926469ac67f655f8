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
import threading
import traceback
from typing import TYPE_CHECKING, Any

import psutil
import zmq

from zmqruntime.execution.core.events import TaskRaised, TaskReturned, TaskStopped
from zmqruntime.execution.worker import wire
from zmqruntime.execution.worker.context import ExecutionContext
from zmqruntime.execution.worker.interrupt import Interrupt
from zmqruntime.execution.worker.logs import TaskLogs
from zmqruntime.execution.worker.outbox import HIGH_WATER_MARK, ProgressOutbox
from zmqruntime.execution.worker.output import TaskOutput
from zmqruntime.execution.worker.reporter import ProgressReporter, ServerReportLink
from zmqruntime.execution.worker.task import run_task
from zmqruntime.messages import ExecuteRequest, encode
from zmqruntime.transport import ProcessIdentity

if TYPE_CHECKING:
    from zmqruntime.execution.server import ExecutionServer

__all__ = ["worker_main"]

_LINGER_MS = 2000


def worker_main(setup: wire.WorkerSetup) -> None:
    """Be a worker until the server says stop, or is gone."""
    interrupt = Interrupt()
    _leave_the_terminal(interrupt)
    _end_with(setup.server_process)
    context: zmq.Context[Any] = zmq.Context()
    try:
        _Worker(context, setup, interrupt).run()
    finally:
        context.term()


class _Worker:
    def __init__(
        self, context: zmq.Context[Any], setup: wire.WorkerSetup, interrupt: Interrupt
    ) -> None:
        self._setup = setup
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._output = _make_output(setup)
        self._tasks = _connect(context, setup, wire.TASKS)
        self._reports = ProgressOutbox(self._tasks)
        commands = _connect(context, setup, wire.COMMANDS)
        self._listener = threading.Thread(
            target=self._listen, args=(commands,), name="zmqruntime-commands", daemon=True
        )

    def run(self) -> None:
        self._listener.start()
        try:
            server = self._make_server()
        except BaseException:  # noqa: BLE001 - whatever it is, the server has to tell it
            words = traceback.format_exc().encode(errors="backslashreplace")
            self._tasks.send_multipart((wire.FAILED, words))
            raise SystemExit(1) from None
        else:
            gc.freeze()  # What is loaded stays: no collection has to look at it again.
            self._tasks.send_multipart((wire.READY, b""))
            self._serve(server)
        finally:
            self._tasks.close()
            _end_children()

    def _make_server(self) -> ExecutionServer:
        server: ExecutionServer = pickle.loads(self._setup.server)
        server.setup_worker()
        return server

    def _serve(self, server: ExecutionServer) -> None:
        while True:
            head, payload = self._tasks.recv_multipart()
            if head == wire.STOP:
                return
            # The server has checked it, and written it itself.
            request = ExecuteRequest.model_validate_json(payload)
            self._send(*_tell(self._run(server, request, head[1:])))
            if self._output is not None:
                self._output.lead_back()

    def _run(
        self, server: ExecutionServer, request: ExecuteRequest, execution_id: bytes
    ) -> TaskReturned | TaskRaised | TaskStopped:
        progress = wire.PROGRESS + execution_id

        def send(body: bytes) -> None:
            # Half a message would spoil all that follow.
            with self._interrupt.shielded(), self._lock:
                self._reports.send(progress, body)

        setup = self._setup
        link = ServerReportLink(execution_id.decode(), setup.address, setup.token)
        reporter = ProgressReporter(link, send)
        context = ExecutionContext(request, reporter, self._interrupt)
        if self._output is not None:
            self._output.lead_away(context.execution_id)
        try:
            return run_task(server, request, context, self._interrupt, setup.max_message_bytes)
        finally:
            if self._output is not None:
                self._output.keep(context.execution_id)

    def _send(self, head: bytes, body: bytes) -> None:
        # The lock hands the socket from thread to thread; libzmq asks for a full fence.
        with self._lock:
            self._reports.flush()
            self._tasks.send(head, zmq.SNDMORE)
            self._tasks.send(body)

    def _listen(self, commands: zmq.Socket[bytes]) -> None:
        try:
            commands.send_multipart((wire.HELLO, b""))
            while True:
                head, _ = commands.recv_multipart()
                if head == wire.STOP:
                    return
                self._interrupt.request(head[1:].decode())
        except zmq.ContextTerminated:
            return  # Nobody says stop to a worker that could not be set up.
        finally:
            commands.close()


def _tell(outcome: TaskReturned | TaskRaised | TaskStopped) -> tuple[bytes, bytes]:
    execution_id = outcome.execution_id.encode()
    match outcome:
        case TaskReturned():
            return wire.RETURNED + execution_id, outcome.result
        case TaskRaised():
            return wire.RAISED + execution_id, encode(outcome.error)
        case TaskStopped():
            return wire.STOPPED + execution_id, b""


def _make_output(setup: wire.WorkerSetup) -> TaskOutput | None:
    if setup.log_directory is None:
        return None
    return TaskOutput(TaskLogs(setup.log_directory, setup.max_log_bytes), setup.name)


def _connect(context: zmq.Context[Any], setup: wire.WorkerSetup, role: bytes) -> zmq.Socket[bytes]:
    link: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    link.linger = _LINGER_MS
    link.sndhwm = HIGH_WATER_MARK
    link.routing_id = setup.token + role
    link.connect(setup.address)
    return link


def _leave_the_terminal(interrupt: Interrupt) -> None:
    """Let Ctrl-C be the server's, and make this process the head of a group of its own."""
    interrupt.install()
    if hasattr(os, "setsid"):
        os.setsid()
        # The parent started this process with SIGINT blocked, so that none came too early.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_with(server: ProcessIdentity) -> None:
    """End this process and all that it started when the server is gone."""

    def watch() -> None:
        server.wait()
        try:
            _end_children()
            if hasattr(os, "killpg"):
                os.killpg(0, signal.SIGKILL)  # Those too whose own parent has ended, and this one.
        finally:
            os._exit(1)

    threading.Thread(target=watch, name="zmqruntime-server-watch", daemon=True).start()


def _end_children() -> None:
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # It has ended meanwhile, or is not ours to end.
            child.kill()
