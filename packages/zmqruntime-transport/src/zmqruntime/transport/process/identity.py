"""The identity of a process: its pid and start time."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from dataclasses import dataclass

import psutil

__all__ = ["ProcessIdentity", "read_start_time"]

# Two readings of a start time are equal on Linux; elsewhere they differ by up to two clock ticks.
_SAME_START_SECONDS = 0.001 if sys.platform == "linux" else 1.0
# The interval of checks for a zombie, of which psutil does not notify.
_ZOMBIE_CHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process by pid and start time: the system reuses a pid, but not with the start time."""

    pid: int
    create_time: float
    """The start time in seconds: on Linux since the system's start, so that it is independent of
    the clock; in Unix time elsewhere."""

    @classmethod
    def current(cls) -> ProcessIdentity:
        """Return the identity of this process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the identity of the present process with ``pid``.

        Raises:
            ProcessLookupError: there is no such process.
        """
        try:
            return cls(pid, read_start_time(psutil.Process(pid)))
        except psutil.NoSuchProcess:
            raise ProcessLookupError(f"no process has pid {pid}") from None

    @classmethod
    def parse(cls, text: str) -> ProcessIdentity:
        """Return the identity from its `str`, PID:CREATE_TIME.

        Raises:
            ValueError: the text is invalid.
        """
        pid, _, create_time = text.partition(":")
        try:
            return cls(int(pid), float(create_time))
        except ValueError:
            raise ValueError(f"invalid process {text!r}: it has to be PID:CREATE_TIME") from None

    def __str__(self) -> str:
        return f"{self.pid}:{self.create_time!r}"

    def is_running(self) -> bool:
        """Whether this process runs; a zombie does not."""
        process = self.find()
        try:
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def wait(self) -> None:
        """Block until this process has ended. For processes that the caller did not start."""
        # Missing in a Python that was built for old kernels, such as conda's.
        if sys.platform == "linux" and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):  # An old kernel, or forbidden (seccomp).
                self._wait_for_pidfd()
        while (process := self.find()) is not None and self.is_running():
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(_ZOMBIE_CHECK_SECONDS)

    def find(self) -> psutil.Process | None:
        """Return this process; None: it has ended."""
        try:
            process = psutil.Process(self.pid)
            start = read_start_time(process)
        except psutil.NoSuchProcess:
            return None
        return process if abs(start - self.create_time) < _SAME_START_SECONDS else None

    if sys.platform == "linux":

        def _wait_for_pidfd(self) -> None:
            fd = os.pidfd_open(self.pid)
            try:
                # Checked after the descriptor is open: from now on it cannot change its process.
                if self.is_running():
                    poller = select.poll()
                    poller.register(fd, select.POLLIN)
                    poller.poll()
            finally:
                os.close(fd)


def read_start_time(process: psutil.Process) -> float:
    """Return the start time of a process, as in `ProcessIdentity.create_time`.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    if sys.platform != "linux":
        return process.create_time()
    try:
        # As psutil, which adds the time of the system's start, and that changes with the clock:
        # proc(5), field 22 (starttime), counted after the name in parentheses.
        with open(f"/proc/{process.pid}/stat", "rb") as file:  # noqa: PTH123 - short and hot
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(process.pid) from None
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
