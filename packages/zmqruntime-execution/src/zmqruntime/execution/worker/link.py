"""The parent side of a worker: starts the process, speaks to it, and sees it end."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import secrets
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import zmq

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
from zmqruntime.execution.worker import wire
from zmqruntime.execution.worker.leftover import WorkerNote
from zmqruntime.execution.worker.log_keeper import LogKeeper
from zmqruntime.execution.worker.main import worker_main
from zmqruntime.execution.worker.outbox import HIGH_WATER_MARK
from zmqruntime.messages import ExecutionErrorInfo, WorkerInfo
from zmqruntime.transport import (
    ProcessIdentity,
    TransportMode,
    drain,
    kill_process_tree,
    send_frames,
)

__all__ = ["WorkerProcessRunner"]

_log = logging.getLogger("zmqruntime.server")

# Few, so that a request waits for little of a flood of progress.
_BATCH = 16
_TOKEN_BYTES = 16
_STOP_SECONDS = 3.0
_SAMPLE_SECONDS = 1.0
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
        except Exception as error:
            raise UnpicklableServer(
                f"{type(server).__qualname__} cannot be sent to its worker process: {error}. Keep "
                "what cannot be pickled out of __init__, and open it in setup_worker()"
            ) from error
        self._note = WorkerNote(journal)
        self._spawn = multiprocessing.get_context("spawn")
        self._host: RunnerHost
        self._link: zmq.Socket[bytes]
        self._path: Path | None = None
        self._address = ""
        self._worker: _WorkerProcess | None = None
        self._busy = False
        self._assigned: str | None = None
        self._max_log_bytes = max_log_bytes
        self._logs = LogKeeper()
        self._trims = False

    def open(self, host: RunnerHost) -> None:
        self._host = host
        self._link = host.context.socket(zmq.ROUTER)
        self._link.linger = 0
        self._link.rcvhwm = HIGH_WATER_MARK
        # On TCP a stranger may find the port; what he sends is dropped, and is not long.
        self._link.maxmsgsize = host.max_message_bytes
        if host.endpoint.transport_mode is TransportMode.IPC:
            # Shorter than the data socket's path, so it fits where that one does.
            self._path = host.endpoint.data_path.with_suffix(".w")
            self._path.unlink(missing_ok=True)  # The server's lock says that it is stale.
            self._link.bind(f"ipc://{self._path}")
        else:
            self._link.bind("tcp://127.0.0.1:*")
        self._address = self._link.getsockopt_string(zmq.LAST_ENDPOINT)
        host.loop.add_reader(self._link, self._read)
        if self._max_log_bytes:
            self._logs = LogKeeper.at(host.endpoint, host.log_dir, self._max_log_bytes)

    def start_worker(self) -> None:
        token = b"w" + secrets.token_bytes(_TOKEN_BYTES)
        setup = wire.WorkerSetup(
            server=self._server,
            server_process=ProcessIdentity.current(),
            address=self._address,
            token=token,
            max_message_bytes=self._host.max_message_bytes,
            log_directory=self._logs.directory,
            max_log_bytes=self._max_log_bytes,
            name=f"worker-{secrets.token_hex(4)}",
        )
        process = self._spawn.Process(target=worker_main, args=(setup,), name="zmqruntime-worker")
        worker = self._worker = _WorkerProcess(process, token, setup.name)
        worker.watcher = threading.Thread(
            target=self._watch, args=(worker,), name="zmqruntime-worker-watch", daemon=True
        )
        worker.watcher.start()

    def assign(self, execution_id: str, request: bytes) -> None:
        assert self._worker is not None
        self._busy, self._assigned = True, execution_id
        self._logs.begin(self._worker.name, execution_id)
        if self._logs.directory is not None and not self._trims:
            self._trims = True
            self._host.loop.call_at(time.monotonic() + _TRIM_SECONDS, self._trim_log)
        self._send(wire.TASKS, wire.ASSIGN, execution_id, request)

    def interrupt(self, execution_id: str) -> None:
        self._send(wire.COMMANDS, wire.INTERRUPT, execution_id)

    def kill_worker(self) -> None:
        if self._worker is not None and self._worker.handle is not None:
            kill_process_tree(self._worker.handle)

    def describe(self, execution_id: str | None) -> tuple[WorkerInfo, ...]:
        worker = self._worker
        return (worker.describe(execution_id),) if worker and worker.handle else ()

    def close(self) -> None:
        worker = self._worker
        if worker is not None:
            assert worker.watcher is not None
            if worker.is_ready and not self._busy:
                self._send(wire.TASKS, wire.STOP)
                self._send(wire.COMMANDS, wire.STOP)
                worker.watcher.join(_STOP_SECONDS)
            if worker.watcher.is_alive():
                worker.started.wait()
                if worker.handle is not None:
                    kill_process_tree(worker.handle)
                worker.watcher.join(_STOP_SECONDS)
        if worker is not None:
            self._seal_log(worker)
        self._link.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    # -- what tasks write -------------------------------------------------------------------

    def name_log(self, execution_id: str) -> str | None:
        return self._logs.name_of(execution_id)

    def read_log(self, execution_id: str, max_bytes: int) -> tuple[bytes, int]:
        runs_it = self._busy and self._assigned == execution_id
        worker = self._worker.name if self._worker and runs_it else None
        return self._logs.read_tail(execution_id, max_bytes, worker)

    def forget_log(self, execution_id: str) -> None:
        self._logs.forget(execution_id)

    def sweep_logs(self, is_kept: Callable[[str], bool]) -> None:
        if self._logs.directory is None:
            return  # Nothing is kept, or this was never opened.
        if self._link.closed:
            self._logs.close(is_kept)
        else:
            self._logs.sweep(is_kept)

    def _trim_log(self) -> None:
        self._trims = self._busy
        if self._trims and self._worker is not None:
            self._logs.trim(self._worker.name)
            self._host.loop.call_at(time.monotonic() + _TRIM_SECONDS, self._trim_log)

    def _seal_log(self, worker: _WorkerProcess) -> None:
        self._logs.seal(worker.name, self._assigned if self._busy else None)

    # -- in the loop's thread ---------------------------------------------------------------

    def _send(self, role: bytes, kind: bytes, execution_id: str = "", payload: bytes = b"") -> None:
        assert self._worker is not None
        head = kind + execution_id.encode()
        send_frames(self._link, self._worker.token + role, head, payload)

    def _read(self) -> None:
        for frames in drain(self._link, _BATCH):
            if not self._take(frames):
                return  # Only behind progress is more to be expected.

    def _take(self, frames: list[bytes]) -> bool:
        """Tell what one message of the worker says; return whether that was progress."""
        event = self._event(frames)
        if event is None:
            return False
        is_progress = isinstance(event, ProgressReported)
        self._busy = self._busy and is_progress
        self._host.emit(event)
        return is_progress

    def _event(self, frames: list[bytes]) -> WorkerEvent | None:
        worker = self._worker
        if worker is None or not frames[0].startswith(worker.token) or len(frames) != 3:
            return None  # A worker of before, or a stranger who found the port.
        return self._translate(worker, frames[1][:1], frames[1][1:].decode(), frames[2])

    def _translate(
        self, worker: _WorkerProcess, kind: bytes, execution_id: str, payload: bytes
    ) -> WorkerEvent | None:
        match kind:
            case wire.PROGRESS:
                return ProgressReported(execution_id, payload)
            case wire.RETURNED:
                return TaskReturned(execution_id, payload)
            case wire.RAISED:
                return TaskRaised(execution_id, ExecutionErrorInfo.model_validate_json(payload))
            case wire.STOPPED:
                return TaskStopped(execution_id)
            case wire.FAILED:
                worker.last_words = payload.decode()
                return None
            case _:
                worker.greetings.add(kind)
                return WorkerReady() if worker.is_ready else None

    def _exited(self, worker: _WorkerProcess, exit_code: int | None) -> None:
        # What it said before it ended still counts.
        last = [event for frames in drain(self._link, _BATCH) if (event := self._event(frames))]
        self._seal_log(worker)
        self._worker, self._busy = None, False
        _log.info("the worker process ended (%s)", exit_code)
        self._host.emit(WorkerExited(exit_code, worker.last_words, tuple(last)))

    # -- in the watcher's thread --------------------------------------------------------------

    def _watch(self, worker: _WorkerProcess) -> None:
        """Start the process and see it end; both block, so neither is for the loop."""
        exit_code: int | None = None
        try:
            if hasattr(signal, "pthread_sigmask"):
                # The child inherits it: no Ctrl-C reaches it before it can tell what to do. Its
                # tracker comes first, since the start of that one unblocks the signal again.
                resource_tracker.ensure_running()
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            self._note.end_leftover()
            worker.process.start()
            worker.note_started()
            if worker.identity is not None:
                self._note.write(worker.identity)
            worker.await_end()
            self._note.remove()
            exit_code = worker.process.exitcode
        except OSError as error:
            worker.last_words = f"the process could not be started: {error}"
        finally:
            worker.started.set()
            self._host.loop.post(lambda: self._exited(worker, exit_code))


class _WorkerProcess:
    """One worker process, from before its start until after its end."""

    def __init__(self, process: BaseProcess, token: bytes, name: str) -> None:
        self.process = process
        self.token = token
        self.name = name
        self.handle: psutil.Process | None = None
        self.identity: ProcessIdentity | None = None
        self.started = threading.Event()
        self.greetings: set[bytes] = set()
        self.last_words = ""
        self.watcher: threading.Thread | None = None
        self._sampled_at = float("-inf")
        self._sample: tuple[float | None, int | None] = (None, None)

    @property
    def is_ready(self) -> bool:
        """Whether both of its sockets are known, so that both can be sent to."""
        return self.greetings >= {wire.HELLO, wire.READY}

    def note_started(self) -> None:
        assert self.process.pid is not None
        try:
            self.handle = psutil.Process(self.process.pid)
            self.identity = ProcessIdentity(self.handle.pid, self.handle.create_time())
        except psutil.NoSuchProcess:
            return  # It has ended at once; its exit code tells why.
        finally:
            self.started.set()

    def await_end(self) -> None:
        """Block until it has ended, and end the processes that it has left behind."""
        if self.handle is not None and hasattr(os, "killpg"):
            # Somebody else in this process may reap it: `multiprocessing.active_children` does.
            with contextlib.suppress(ChildProcessError):
                if hasattr(os, "waitid"):  # It is not reaped yet: the pid stays that of its group.
                    os.waitid(os.P_PID, self.handle.pid, os.WEXITED | os.WNOWAIT)
                else:
                    self.process.join()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.handle.pid, signal.SIGKILL)
        self.process.join()

    def describe(self, execution_id: str | None) -> WorkerInfo:
        assert self.handle is not None
        now = time.monotonic()
        if now - self._sampled_at >= _SAMPLE_SECONDS:  # A look costs more than a whole ping.
            self._sampled_at = now
            self._sample = self._look()
        cpu_percent, memory_bytes = self._sample
        return WorkerInfo(
            pid=self.handle.pid,
            cpu_percent=cpu_percent,
            memory_bytes=memory_bytes,
            execution_id=execution_id,
        )

    def _look(self) -> tuple[float | None, int | None]:
        assert self.handle is not None
        try:
            with self.handle.oneshot():
                return self.handle.cpu_percent(), self.handle.memory_info().rss
        except psutil.Error:
            return None, None
