"""One worker process, with its descendants: started, sampled, and killed."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable

import psutil

from zmqruntime.execution.worker import protocol
from zmqruntime.execution.worker.parent.orphan import WorkerPidFile
from zmqruntime.execution.worker.parent.starting_worker import StartingWorker
from zmqruntime.execution.worker.parent.worker_program import WorkerProgram
from zmqruntime.messages import WorkerInfo
from zmqruntime.transport import ProcessIdentity
from zmqruntime.transport.lowlevel import (
    describe_exit,
    kill_marked,
    kill_process_group,
    kill_process_tree,
)

__all__ = ["WorkerProcess"]

_log = logging.getLogger("zmqruntime.server")

_SAMPLE_SECONDS = 1.0


class WorkerProcess:
    """One worker process, started and awaited by a watcher thread.

    Args:
        program: its command line and environment.
        setup: its configuration.
        pid_file: names the worker for the next server.
        on_exit: called last in the watcher thread with the exit code; None: it was not started, or
            its exit code is unknown.
        prestarted: a process that becomes this worker; None: it is started.
    """

    def __init__(
        self,
        program: WorkerProgram,
        setup: protocol.WorkerSetup,
        pid_file: WorkerPidFile,
        on_exit: Callable[[int | None], None],
        prestarted: StartingWorker | None = None,
    ) -> None:
        self.name = setup.name
        self.is_set_up = False
        self.assigned = 0
        """How many tasks it was assigned."""
        self.failure = ""
        """Why it did not get ready, when it has reported that."""
        self.kill_reason = ""
        self._pid_file = pid_file
        self._on_exit = on_exit
        self._program = program
        self._setup = setup
        self._starting = prestarted
        self._handle: psutil.Process | None = None
        self._started = threading.Event()
        self._sampled_at = float("-inf")
        self._sample: tuple[float | None, int | None] = (None, None)
        self._described: WorkerInfo | None = None
        self._watcher = threading.Thread(
            target=self._watch, name="zmqruntime-worker-watch", daemon=True
        )

    @property
    def pid(self) -> int | None:
        """The process id; None: it is not started."""
        return None if self._handle is None else self._handle.pid

    def start(self) -> None:
        """Start the watcher thread, which starts the process.

        Raises:
            RuntimeError: the thread cannot be started (`threading.Thread.start`).
        """
        try:
            self._watcher.start()
        except RuntimeError:
            self._started.set()
            raise

    def kill(self) -> None:
        """Kill the process, if it is started, and its descendants."""
        if self._handle is not None:
            # In the loop's thread: the watcher kills the rest of its process group at its exit.
            kill_process_tree(self._handle, with_group=False)

    def join(self, seconds: float) -> None:
        """Wait for its exit, at most ``seconds``."""
        if self._watcher.is_alive():
            self._watcher.join(seconds)

    def kill_and_join(self, seconds: float) -> None:
        """Kill the process if it runs, and wait for its exit, at most ``seconds``."""
        if self._watcher.is_alive():
            self._started.wait()
            self.kill()
            self._watcher.join(seconds)

    @property
    def has_started_task(self) -> bool:
        """Whether it has started the task that it was assigned last."""
        return self._starting is not None and self._starting.start_marker.is_started(self.assigned)

    def describe(self, execution_id: str | None) -> tuple[WorkerInfo, ...]:
        """Return its CPU and memory use, sampled at most once a second; empty: not started."""
        if self._handle is None:
            return ()
        now = time.monotonic()
        if now - self._sampled_at >= _SAMPLE_SECONDS:  # A sample costs more than a whole ping.
            self._sampled_at = now
            self._sample = _take_sample(self._handle)
            self._described = None
        if self._described is None or self._described.execution_id != execution_id:
            cpu_percent, memory_bytes = self._sample
            self._described = WorkerInfo(
                pid=self._handle.pid,
                cpu_percent=cpu_percent,
                memory_bytes=memory_bytes,
                execution_id=execution_id,
            )
        return (self._described,)

    def log_exit(self, exit_code: int | None, running: str | None) -> None:
        """Log the exit of a worker that was ready, with the execution that it ran."""
        _log.info(
            "worker process %s exited%s: %s%s",
            self.pid,
            f" while it ran execution {running}" if running is not None else "",
            "exit code unknown" if exit_code is None else describe_exit(exit_code),
            f", {self.kill_reason}" if self.kill_reason else "",
            extra={} if running is None else {"execution_id": running},
        )

    def log_failed_start(self, exit_code: int | None, *, is_first: bool) -> None:
        """Log why the worker did not get ready, and add possible reasons to `failure`."""
        changes = self._program.find_changes()
        self.failure = "\n".join([*filter(None, [self.failure]), *changes])
        how = "not started" if exit_code is None else describe_exit(exit_code)
        reason = self.failure or "the output of the process, if it had any, is in this log"
        if is_first:  # It ends the server, whose error has the whole reason.
            reason = reason.splitlines()[-1]
        _log.error("the worker process did not get ready (%s): %s", how, reason)

    # -- in the watcher thread ----------------------------------------------------------------

    def _watch(self) -> None:
        exit_code: int | None = None
        starting = self._starting
        try:
            self._pid_file.kill_orphan()
            starting = self._starting = starting or StartingWorker(self._program)
            self._write_pid_file(starting)
            starting.send_setup(self._setup)
            exit_code = self._wait_for_exit(starting.process)
            if exit_code != 0:  # Perhaps within a run, whose processes end with the worker.
                kill_marked(starting.mark)
            self._pid_file.remove()
        except OSError as error:
            self.failure = f"the process could not be started: {error}"
            if starting is not None and not starting.has_setup:
                starting.kill()
        finally:
            self._started.set()
            self._on_exit(exit_code)

    def _write_pid_file(self, starting: StartingWorker) -> None:
        try:
            self._handle = psutil.Process(starting.process.pid)
            self._pid_file.write(ProcessIdentity.of(self._handle.pid), starting.mark)
        except (psutil.NoSuchProcess, ProcessLookupError):
            return  # It has exited already.
        finally:
            self._started.set()

    def _wait_for_exit(self, process: subprocess.Popen[bytes]) -> int | None:
        """Block until the process has exited, and kill the rest of its process group.

        Returns:
            The exit code; None when the application has reaped it by a wait for any child.
        """
        is_ours = True
        if self._handle is not None and hasattr(os, "killpg"):
            try:
                if hasattr(os, "waitid"):  # Not reaped yet: the pid still names its group.
                    os.waitid(os.P_PID, self._handle.pid, os.WEXITED | os.WNOWAIT)
                else:
                    process.wait()
            except ChildProcessError:
                is_ours = False
            kill_process_group(self._handle.pid)
        exit_code = process.wait()
        return exit_code if is_ours else None


def _take_sample(process: psutil.Process) -> tuple[float | None, int | None]:
    try:
        with process.oneshot():
            return process.cpu_percent(), process.memory_info().rss
    except (psutil.Error, OSError):  # It has exited, or no descriptor is left (EMFILE).
        return None, None
