"""Finds, terminates and kills the processes that a run has left.

Every process inherits two environment variables: its worker and its run. Runs count from 1; run 0
is what the application starts before, in `setup_worker`. When a task starts a server, the runs of
that server's worker are nested: ``/3/1`` is run 1 inside run 3. A process that was forked and has
executed no program has the variables of the worker's own start; its run follows from its start
time. So processes of different runs are distinguished, even when their own parent has exited.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from typing import Final

import psutil

from zmqruntime.transport import ProcessIdentity
from zmqruntime.transport.lowlevel import (
    RUN_VARIABLE,
    WORKER_VARIABLE,
    is_resource_tracker,
    read_environment,
    read_start_time,
    terminate_then_kill,
)

__all__ = ["RunProcesses"]

# Time between terminate and kill: a share of the grace period, and its limit.
_TERMINATE_SHARE: Final = 0.25
_MAX_TERMINATE_SECONDS: Final = 1.0
_KILL_SECONDS: Final = 1.0
# Processes may start others while they are terminated.
_MAX_ROUNDS: Final = 5
# Processes that libraries keep for all tasks of a worker, and would restart.
_LIBRARIES: Final = ("multiprocessing.forkserver", "loky.backend")
# After so many runs the values of the variable are used again: setenv of glibc never frees a value,
# but finds one that it has.
_RUN_NUMBERS: Final = 1000
# Resolution of process start times (POSIX: sysconf SC_CLK_TCK).
_TICK_SECONDS: Final = 0.01


class RunProcesses:
    """The processes of one worker's runs. For the main thread of the worker.

    Args:
        mark: the worker's value of ``ZMQRUNTIME_WORKER``.
        grace_seconds: the grace period of an interrupted task.
    """

    def __init__(self, mark: str, grace_seconds: float) -> None:
        self._mark = mark
        self._terminate_seconds = min(_MAX_TERMINATE_SECONDS, grace_seconds * _TERMINATE_SHARE)
        self._runs = itertools.count(1)
        # The variable in a fork of this process that has executed no program.
        self._outer_run = read_environment(psutil.Process()).get(RUN_VARIABLE, "")
        self._run = ""
        self._started_at = 0.0
        self._is_reused = False
        """Whether an earlier run had the same value."""
        self._kept: set[ProcessIdentity] = set()
        self._usage = _usage_of_children()

    def begin_run(self) -> str:
        """Begin a run; return its value of ``ZMQRUNTIME_RUN``."""
        number = next(self._runs)
        self._run = f"{self._outer_run}/{(number - 1) % _RUN_NUMBERS + 1}"
        self._is_reused = number > _RUN_NUMBERS
        self._started_at = _now()
        return self._run

    def keep(self, pid: int) -> None:
        """Exempt a process from `terminate_run`, of this run and of later ones.

        Raises:
            ProcessLookupError: there is no process with this pid.
        """
        self._kept.add(ProcessIdentity.of(pid))

    def terminate_run(self) -> None:
        """Terminate, then kill, the processes that the run has left."""
        if not self._may_have_children():
            return
        for _ in range(_MAX_ROUNDS):
            left = self._find()
            if not left:
                return
            killed = terminate_then_kill(left, self._terminate_seconds)
            psutil.wait_procs(killed, timeout=_KILL_SECONDS)

    def _may_have_children(self) -> bool:
        """Whether this process has a child, or has had one since the last call."""
        before, self._usage = self._usage, _usage_of_children()
        if before is None or self._usage != before or not hasattr(os, "waitid"):
            return True
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False  # No child, and none was waited for, and so no grandchild.
        return True

    def _find(self) -> list[psutil.Process]:
        kept = {identity.pid for identity in self._kept if identity.is_running()}
        with contextlib.suppress(psutil.Error):
            for pid in list(kept):
                kept.update(child.pid for child in psutil.Process(pid).children(recursive=True))
        children = {child.pid for child in psutil.Process().children(recursive=True)}
        found = []
        for process in psutil.process_iter():
            if process.pid in kept or process.pid == os.getpid():
                continue
            with contextlib.suppress(psutil.Error):
                if self._is_of_run(process, is_child=process.pid in children):
                    found.append(process)
        return found

    def _is_of_run(self, process: psutil.Process, *, is_child: bool) -> bool:
        variables = read_environment(process)
        if not is_child and variables.get(WORKER_VARIABLE) != self._mark:
            return False
        if process.status() == psutil.STATUS_ZOMBIE or _is_of_library(process):
            return False
        if (run := variables.get(RUN_VARIABLE, "")) != self._outer_run:
            matches = run == self._run or run.startswith(f"{self._run}/")
            return matches and (not self._is_reused or self._is_started_in_run(process))
        return self._is_started_in_run(process)

    def _is_started_in_run(self, process: psutil.Process) -> bool:
        return read_start_time(process) >= self._started_at - _TICK_SECONDS


def _is_of_library(process: psutil.Process) -> bool:
    return is_resource_tracker(process) or any(
        library in part for part in process.cmdline() for library in _LIBRARIES
    )


def _usage_of_children() -> tuple[float, ...] | None:
    """Return the resource usage of all children that were waited for; None: not available."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return tuple(resource.getrusage(resource.RUSAGE_CHILDREN))


def _now() -> float:
    """Return the time on the clock of `read_start_time`."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()
