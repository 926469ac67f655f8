"""Ends processes of ours together with what they have started, and nothing else.

The resource tracker of `multiprocessing` (and loky's) is left: it removes the shared memory and
semaphores of processes that have ended, and then ends by itself.
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
    "environment_of",
    "is_resource_tracker",
    "kill_all",
    "kill_marked",
    "kill_process_group",
    "kill_process_tree",
    "terminate_then_kill",
]

WORKER_VARIABLE: Final = "ZMQRUNTIME_WORKER"
"""In the environment of a worker and of all that it starts: the mark of that worker."""

RUN_VARIABLE: Final = "ZMQRUNTIME_RUN"
"""In the environment of all that a worker starts: which of its runs has started it."""

# How its command line begins behind the interpreter's options: `python -c "from ..."`.
_TRACKERS: Final = (
    "from multiprocessing.resource_tracker import main",
    "loky.backend.resource_tracker import main",
)
# A group that goes on starting processes is then ended by the system, at once.
_MAX_ROUNDS: Final = 20
_ROUND_SECONDS: Final = 0.5


def is_resource_tracker(process: psutil.Process) -> bool:
    """Whether a process only cleans up behind others; False when it has ended."""
    try:
        return any(tracker in part for part in process.cmdline() for tracker in _TRACKERS)
    except (psutil.Error, OSError):
        return False


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill each but resource trackers. One that this user may not end is left."""
    for process in processes:
        if not is_resource_tracker(process):
            # It has ended meanwhile, is not ours, or cannot be looked at (EMFILE).
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
    """End a process of ours and all that it started, at once and for good.

    Descendants are found by parentage. One that this user may not end, such as one that runs as
    root, is left, and so are resource trackers.

    Args:
        process: the root of the tree.
        with_group: also end, on POSIX, the process group that it leads, which holds those whose
            own parent has ended; blocks for a moment, until they have ended.
    """
    family = [process]
    leads_group = False
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        # First what fails when the pid is another process's by now: its group is not ours.
        try:
            family += process.children(recursive=True)
        except ProcessLookupError:
            raise
        except OSError:  # No file is left to look with (EMFILE): then the group, trackers included.
            _kill_group_at_once(process.pid)
        leads_group = sys.platform != "win32" and os.getpgid(process.pid) == process.pid
    kill_all(family)
    if with_group and leads_group:
        kill_process_group(process.pid)


def kill_process_group(group: int) -> None:
    """Kill all members of a process group of ours but resource trackers (POSIX).

    The leader may have ended, as long as it was not reaped: its pid names no other group then.
    May block for a moment, until they have ended.
    """
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # No file is left to look with (EMFILE).
        for _ in range(_MAX_ROUNDS):
            members = [process for process in _members(group) if not is_resource_tracker(process)]
            if not members:
                return
            kill_all(members)
            _wait_for_ends(members)
    _kill_group_at_once(group)


def _kill_group_at_once(group: int) -> None:
    """Have the system kill a process group, resource trackers included (POSIX)."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def kill_marked(mark: str) -> None:
    """Kill the processes that a worker with this mark has left behind, wherever they are."""
    kill_all(
        process
        for process in psutil.process_iter()
        if environment_of(process).get(WORKER_VARIABLE) == mark
    )


def environment_of(process: psutil.Process) -> dict[str, str]:
    """Return the environment in which a process began; empty when that cannot be known."""
    try:
        return process.environ()
    except (psutil.Error, OSError):  # It has ended, or is another user's.
        return {}


def _wait_for_ends(processes: Iterable[psutil.Process]) -> None:
    """Block until all have ended, but not for long, and reap none: that is their parent's."""
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
        """Yield the running members of a process group, but not this process."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
                if (
                    process.pid != os.getpid()
                    and os.getpgid(process.pid) == group
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    yield process
