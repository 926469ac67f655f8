"""One worker process: its start, what it costs, and its end, with all that it has left behind."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable

import psutil

from zmqruntime.execution.worker import protocol
from zmqruntime.execution.worker.bootstrap import BegunWorker, WorkerProgram
from zmqruntime.execution.worker.parent.orphan import WorkerNote
from zmqruntime.messages import WorkerInfo
from zmqruntime.transport import ProcessIdentity
from zmqruntime.transport.lowlevel import kill_marked, kill_process_group, kill_process_tree

__all__ = ["WorkerProcess"]

_SAMPLE_SECONDS = 1.0


class WorkerProcess:
    """A worker from before its start until after its end; a thread starts it and sees it end.

    Args:
        program: what it is started with.
        setup: what it is given.
        note: says which process is the worker.
        on_exit: called in that thread, at last, with its exit code; None: it never began.
        begun: what becomes the worker, if that has been begun.
    """

    def __init__(
        self,
        program: WorkerProgram,
        setup: protocol.WorkerSetup,
        note: WorkerNote,
        on_exit: Callable[[int | None], None],
        begun: BegunWorker | None = None,
    ) -> None:
        self.name = setup.name
        self.is_set_up = False
        self.assigned = 0
        """How many tasks it was assigned."""
        self.last_words = ""
        """Why it ended, if it could tell."""
        self._note = note
        self._on_exit = on_exit
        self._program = program
        self._setup = setup
        self._begun = begun
        self._handle: psutil.Process | None = None
        self._started = threading.Event()
        self._sampled_at = float("-inf")
        self._sample: tuple[float | None, int | None] = (None, None)
        self._described: WorkerInfo | None = None
        self._watcher = threading.Thread(
            target=self._watch, name="zmqruntime-worker-watch", daemon=True
        )

    def start(self) -> None:
        """Start it, and the thread that sees its end.

        Raises:
            RuntimeError: the system starts no thread (`threading.Thread.start`).
        """
        try:
            self._watcher.start()
        except RuntimeError:
            self._started.set()
            raise

    def kill(self) -> None:
        """End it at once, with all that it started. One that has not begun yet is not there."""
        if self._handle is not None:
            # In the loop's thread: the rest of its group is ended when its end is seen.
            kill_process_tree(self._handle, with_group=False)

    def join(self, seconds: float) -> None:
        """Wait until it has ended by itself, but not for longer."""
        if self._watcher.is_alive():
            self._watcher.join(seconds)

    def end(self, seconds: float) -> None:
        """End it at once, if it has not ended, and wait so long until it has."""
        if self._watcher.is_alive():
            self._started.wait()
            self.kill()
            self._watcher.join(seconds)

    @property
    def has_begun(self) -> bool:
        """Whether it has begun the task that it was assigned last."""
        return self._begun is not None and self._begun.tasks.is_begun(self.assigned)

    def describe(self, execution_id: str | None) -> tuple[WorkerInfo, ...]:
        """Return what it costs, if it has begun."""
        if self._handle is None:
            return ()
        now = time.monotonic()
        if now - self._sampled_at >= _SAMPLE_SECONDS:  # A look costs more than a whole ping.
            self._sampled_at = now
            self._sample = _look_at(self._handle)
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

    # -- in the watcher's thread: what it does blocks -----------------------------------------

    def _watch(self) -> None:
        exit_code: int | None = None
        begun = self._begun
        try:
            self._note.end_leftover()
            begun = self._begun = begun or BegunWorker(self._program)
            self._note_start(begun)
            begun.give(self._setup)
            exit_code = self._await_end(begun.process)
            if exit_code != 0:  # In the middle of a run: what that has started ends with it.
                kill_marked(begun.mark)
            self._note.remove()
        except OSError as error:
            self.last_words = f"the process could not be started: {error}"
            if begun is not None and not begun.has_work:
                begun.end()
        finally:
            self._started.set()
            self._on_exit(exit_code)

    def _note_start(self, begun: BegunWorker) -> None:
        try:
            self._handle = psutil.Process(begun.process.pid)
            self._note.write(ProcessIdentity.of(self._handle.pid), begun.mark)
        except (psutil.NoSuchProcess, ProcessLookupError):
            return  # It has ended at once; its exit code tells why.
        finally:
            self._started.set()

    def _await_end(self, process: subprocess.Popen[bytes]) -> int | None:
        """Block until it has ended, and end the processes that it has left behind.

        Returns:
            Its exit code; None when somebody else in this process has reaped it, as an application
            does that waits for any child.
        """
        is_ours = True
        if self._handle is not None and hasattr(os, "killpg"):
            try:
                if hasattr(os, "waitid"):  # It is not reaped yet: the pid stays that of its group.
                    os.waitid(os.P_PID, self._handle.pid, os.WEXITED | os.WNOWAIT)
                else:
                    process.wait()
            except ChildProcessError:
                is_ours = False
            kill_process_group(self._handle.pid)
        exit_code = process.wait()
        return exit_code if is_ours else None


def _look_at(process: psutil.Process) -> tuple[float | None, int | None]:
    try:
        with process.oneshot():
            return process.cpu_percent(), process.memory_info().rss
    except (psutil.Error, OSError):  # It has ended; or no file is left to look with (EMFILE).
        return None, None
