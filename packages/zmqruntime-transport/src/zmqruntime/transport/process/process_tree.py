"""Kills processes of this application with their descendants, and no others.

The resource tracker of `multiprocessing` (and of loky) is not killed: it removes the shared memory
and semaphores of ended processes, and then exits.
https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import psutil

__all__ = [
    "RUN_VARIABLE",
    "WORKER_VARIABLE",
    "is_resource_tracker",
    "kill_all",
    "kill_marked",
    "kill_process_group",
    "kill_process_tree",
    "read_environment",
    "terminate_then_kill",
]

WORKER_VARIABLE: Final = "ZMQRUNTIME_WORKER"
"""The mark of a worker, in its environment and that of all its descendants."""

RUN_VARIABLE: Final = "ZMQRUNTIME_RUN"
"""The run of a worker, in the environment of all that it starts."""

# The code in its command line: `python -c "from ..."`.
_TRACKERS: Final = (
    "from multiprocessing.resource_tracker import main",
    "loky.backend.resource_tracker import main",
)
# After these rounds killpg(2) ends a group that still starts processes.
_MAX_ROUNDS: Final = 20
_ROUND_SECONDS: Final = 0.5


def is_resource_tracker(process: psutil.Process) -> bool:
    """Whether a process is a resource tracker; False if it has ended."""
    try:
        return any(tracker in part for part in process.cmdline() for tracker in _TRACKERS)
    except (psutil.Error, OSError):
        return False


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill these processes but resource trackers, as far as this user may."""
    for process in processes:
        if not is_resource_tracker(process):
            # It has ended, belongs to another user, or cannot be read (EMFILE).
            with contextlib.suppress(psutil.Error, OSError):
                process.kill()


def terminate_then_kill(
    processes: Collection[psutil.Process], seconds: float
) -> list[psutil.Process]:
    """Terminate processes, and kill those that still run after ``seconds``; return the latter."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    kill_all(alive)
    return alive


def kill_process_tree(process: psutil.Process, *, with_group: bool = True) -> None:
    """Kill a process and its descendants.

    Not resource trackers, and processes that this user may not kill, such as one of root.

    Args:
        process: the root of the tree.
        with_group: kill also the process group that it leads (POSIX), for descendants whose parent
            has ended; blocks for a moment, until they have ended.
    """
    family = [process]
    leads_group = False
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        # First the call that fails if the pid was reused: then its group is foreign.
        try:
            family += process.children(recursive=True)
        except ProcessLookupError:
            raise
        except OSError:  # EMFILE: kill the group, trackers included.
            _kill_whole_group(process.pid)
        leads_group = sys.platform != "win32" and os.getpgid(process.pid) == process.pid
    kill_all(family)
    if with_group and leads_group:
        kill_process_group(process.pid)


def kill_process_group(group: int) -> None:
    """Kill all members of a process group but resource trackers (POSIX).

    The leader may be a zombie, but not reaped: its pid could name another group then. May block
    for a moment, until they have ended.
    """
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # EMFILE: the processes cannot be listed.
        for _ in range(_MAX_ROUNDS):
            members = [process for process in _members(group) if not is_resource_tracker(process)]
            if not members:
                return
            kill_all(members)
            _wait_for_ends(members)
    _kill_whole_group(group)


def _kill_whole_group(group: int) -> None:
    """Kill a process group by the system, resource trackers included (POSIX)."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def kill_marked(mark: str) -> None:
    """Kill all processes with the mark of a worker, also orphans."""
    kill_all(
        process
        for process in psutil.process_iter()
        if read_environment(process).get(WORKER_VARIABLE) == mark
    )


def read_environment(process: psutil.Process) -> dict[str, str]:
    """Return the initial environment of a process; empty: it cannot be read."""
    try:
        return process.environ()
    except (psutil.Error, OSError):  # It has ended, or belongs to another user.
        return {}


def _wait_for_ends(processes: Iterable[psutil.Process]) -> None:
    """Block until all have ended, for half a second at most, without reaping them."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        foreign = [p for p in processes if _parent_of(p) != os.getpid()]
        psutil.wait_procs(foreign, timeout=_ROUND_SECONDS)
        return
    poller = select.poll()
    with contextlib.ExitStack() as descriptors:
        waiting = 0
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(process.pid)
                descriptors.callback(os.close, fd)
                poller.register(fd, select.POLLIN)
                waiting += 1
        deadline = time.monotonic() + _ROUND_SECONDS
        while waiting and (seconds := deadline - time.monotonic()) > 0:
            for fd, _ in poller.poll(seconds * 1000):
                poller.unregister(fd)
                waiting -= 1


def _parent_of(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


if sys.platform != "win32":

    def _members(group: int) -> Iterator[psutil.Process]:
        """Yield the running members of a process group but this process."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
                if (
                    process.pid != os.getpid()
                    and os.getpgid(process.pid) == group
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    yield process
