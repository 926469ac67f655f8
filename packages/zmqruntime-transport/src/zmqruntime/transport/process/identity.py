"""Processes by their exact identity."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from dataclasses import dataclass

import psutil

__all__ = ["ProcessIdentity", "start_of"]

# Two readings of one process's start are the same number on Linux; elsewhere they differ by less
# than a clock tick or two.
_SAME_START_SECONDS = 0.001 if sys.platform == "linux" else 1.0
# How often to look for an end that the system does not tell: one that nobody has reaped yet.
_LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, for good: a pid may be given to another one, its start time not."""

    pid: int
    create_time: float
    """When it started, in seconds: since the start of the system on Linux, so that setting the
    clock changes nothing; in Unix time elsewhere."""

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return the identity of this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the identity of the process that has ``pid`` now.

        Raises:
            ProcessLookupError: there is none.
        """
        try:
            return cls(pid, start_of(psutil.Process(pid)))
        except psutil.NoSuchProcess:
            raise ProcessLookupError(f"no process has pid {pid}") from None

    @classmethod
    def parse(cls, text: str) -> ProcessIdentity:
        """Return the identity that `str` wrote, as PID:CREATE_TIME.

        Raises:
            ValueError: it is none.
        """
        pid, _, create_time = text.partition(":")
        try:
            return cls(int(pid), float(create_time))
        except ValueError:
            raise ValueError(f"{text!r} names no process: it has to be PID:CREATE_TIME") from None

    def __str__(self) -> str:
        return f"{self.pid}:{self.create_time!r}"

    def is_running(self) -> bool:
        """Whether exactly this process still runs; one that ended unreaped does not."""
        process = self.find()
        try:
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def wait(self) -> None:
        """Block until exactly this process has ended. For processes that this one did not start."""
        # Missing in a Python that was built for old kernels, as conda's is.
        if sys.platform == "linux" and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):  # An old kernel, or one told not to (seccomp).
                self._wait_for_pidfd()
        while (process := self.find()) is not None and self.is_running():
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(_LOOK_AGAIN_SECONDS)

    def find(self) -> psutil.Process | None:
        """Return exactly this process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            start = start_of(process)
        except psutil.NoSuchProcess:
            return None
        return process if abs(start - self.create_time) < _SAME_START_SECONDS else None

    if sys.platform == "linux":

        def _wait_for_pidfd(self) -> None:
            fd = os.pidfd_open(self.pid)
            try:
                # The descriptor is held before the look at whose it is: nothing falls between.
                if self.is_running():
                    poller = select.poll()
                    poller.register(fd, select.POLLIN)
                    poller.poll()
            finally:
                os.close(fd)


def start_of(process: psutil.Process) -> float:
    """Return when a process started, as `ProcessIdentity.create_time` has it.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    if sys.platform != "linux":
        return process.create_time()
    try:
        # What psutil reads, before it adds the time of the system's start, which moves with the
        # clock: proc(5), field 22 (starttime), counted from behind the name in parentheses.
        with open(f"/proc/{process.pid}/stat", "rb") as file:  # noqa: PTH123 - short and hot
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(process.pid) from None
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
