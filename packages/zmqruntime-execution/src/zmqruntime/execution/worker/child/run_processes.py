"""Processes that a run has started and left behind: found, terminated, killed.

Every process inherits two environment variables: one names its worker, one the run. Runs count from
1; what the application starts before, in `setup_worker`, is of run 0. A worker whose server a task
of another worker has started prefixes that run: ``/3/1`` is run 1 inside run 3. A process that was
forked and has executed no program has the variables of the worker's own start; it counts by its
start time. So those of earlier runs are distinct, also when their own parent has ended.
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
    kill_all,
    read_environment,
    read_start_time,
)

__all__ = ["RunProcesses"]

# How long what is left may take to end by itself, of the grace and at most.
_TERMINATE_SHARE: Final = 0.25
_MAX_TERMINATE_SECONDS: Final = 1.0
_KILL_SECONDS: Final = 1.0
# While they are terminated they may start others.
_MAX_ROUNDS: Final = 5
# Libraries keep these for all tasks of a process, and would start them again.
_LIBRARIES: Final = ("multiprocessing.forkserver", "loky.backend")
# The system counts start times in ticks of this length (POSIX: sysconf SC_CLK_TCK).
_TICK_SECONDS: Final = 0.01


class RunProcesses:
    """The processes of one worker's runs. For the main thread of the worker.

    Args:
        mark: the value of ``ZMQRUNTIME_WORKER``, which no other process has.
        grace_seconds: how long a task that was told to stop may take in all.
    """

    def __init__(self, mark: str, grace_seconds: float) -> None:
        self._mark = mark
        self._patience = min(_MAX_TERMINATE_SECONDS, grace_seconds * _TERMINATE_SHARE)
        self._runs = itertools.count(1)
        # What a fork of this process has in its environment, as long as it executes no program.
        self._outer_run = read_environment(psutil.Process()).get(RUN_VARIABLE, "")
        self._run = ""
        self._started_at = 0.0
        self._kept: set[ProcessIdentity] = set()
        self._usage = _usage_of_children()

    def begin(self) -> str:
        """Begin a run; return its value of ``ZMQRUNTIME_RUN``."""
        self._run = f"{self._outer_run}/{next(self._runs)}"
        self._started_at = _now()
        return self._run

    def keep(self, pid: int) -> None:
        """Spare a process at the end of this run and of later ones.

        Raises:
            ProcessLookupError: there is no such process.
        """
        self._kept.add(ProcessIdentity.of(pid))

    def end(self) -> None:
        """End what the run has started and left: terminate it, then kill it."""
        if not self._may_be_any():
            return
        for _ in range(_MAX_ROUNDS):
            left = self._find()
            if not left:
                return
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.terminate()
            _, alive = psutil.wait_procs(left, timeout=self._patience)
            kill_all(alive)
            psutil.wait_procs(alive, timeout=_KILL_SECONDS)

    def _may_be_any(self) -> bool:
        """Whether this process has, or had, a child since it was last asked."""
        before, self._usage = self._usage, _usage_of_children()
        if before is None or self._usage != before or not hasattr(os, "waitid"):
            return True
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False  # No child, and none was waited for: so no grandchild either.
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
            return run == self._run or run.startswith(f"{self._run}/")
        return read_start_time(process) >= self._started_at - _TICK_SECONDS


def _is_of_library(process: psutil.Process) -> bool:
    return is_resource_tracker(process) or any(
        library in part for part in process.cmdline() for library in _LIBRARIES
    )


def _usage_of_children() -> tuple[float, ...] | None:
    """Return what all children that were waited for have used; None: the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return tuple(resource.getrusage(resource.RUSAGE_CHILDREN))


def _now() -> float:
    """Return the time by the clock of `read_start_time`."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time()
