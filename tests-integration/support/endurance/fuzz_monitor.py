"""Measures the resources of a server during an attack, and compares them with the promises."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from endurance.figures import Figure, percentile
from endurance.fuzz_attacks import Tally
from endurance.fuzz_client import Work
from waiting import eventually

__all__ = ["Limits", "ServerMonitor", "make_figures"]

_BETWEEN_SECONDS = 0.05
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Limits:
    """The promises; None: no limit."""

    ping_p99: float | None = 20.0
    ping_worst: float | None = 200.0
    memory: float = 50.0
    peak: float | None = None
    log: float = 1.0


class ServerMonitor:
    """Samples a server's memory, and kills the server before it exhausts the machine's."""

    def __init__(self, process: psutil.Process, guard_bytes: float = 3e9) -> None:
        self._process = process
        self._guard_bytes = guard_bytes
        self.files_before = count_files(process)
        self.memory_before = process.memory_info().rss
        self.peak = self.memory_before
        self.files_after = self.memory_after = 0
        self.is_killed = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def runs(self) -> bool:
        """Whether the server runs."""
        try:
            return not self.is_killed and self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def settle(self, seconds: float, memory: float) -> None:
        """Wait until the server has released files and memory; record the rest.

        Args:
            seconds: the longest wait.
            memory: the allowed growth in MB.
        """
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            with contextlib.suppress(AssertionError):
                eventually(self._has_closed_all, "the server closes its files", seconds)
            # Free memory that the allocator keeps is not held by the server.
            if sys.platform == "linux":
                self._process.send_signal(signal.SIGUSR1)
            with contextlib.suppress(AssertionError):
                eventually(lambda: self._growth() <= memory, "the server releases memory", seconds)
            self.files_after = count_files(self._process)
            self.memory_after = self._process.memory_info().rss

    def _growth(self) -> float:
        return (self._process.memory_info().rss - self.memory_before) / 1e6

    def _has_closed_all(self) -> bool:
        return count_files(self._process) <= self.files_before

    def _sample(self) -> None:
        while not self._over.wait(_BETWEEN_SECONDS):
            try:
                self.peak = max(self.peak, self._process.memory_info().rss)
            except psutil.NoSuchProcess:
                return
            if self.peak > self._guard_bytes:
                self.is_killed = True
                self._process.kill()
                return


def count_files(process: psutil.Process) -> int:
    """Return the number of open files of a process."""
    if sys.platform == "win32":
        return process.num_handles()
    return process.num_fds()


def make_figures(
    name: str,
    tally: Tally,
    work: Work,
    watch: ServerMonitor,
    log: Path,
    planted: Path,
    limits: Limits,
) -> Iterator[Figure]:
    """Yield the figures of an attack with their limits."""
    yield Figure(f"{name}: units sent", tally.sent, "")
    if tally.replies:
        yield Figure(f"{name}: replies", tally.replies, "")
    yield Figure(f"{name}: violations in replies", len(tally.violations), "", 0)
    yield Figure(f"{name}: tasks of peers without a handshake", planted.exists(), "", 0)
    yield Figure(f"{name}: actions of the well-behaved client", work.done, "")
    yield Figure(f"{name}: failures of the client", len(work.failures), "", 0)
    if work.pings:
        yield Figure(f"{name}: ping of the client, p50", percentile(work.pings, 50), "ms")
        yield Figure(
            f"{name}: ping of the client, p99", percentile(work.pings, 99), "ms", limits.ping_p99
        )
        yield Figure(f"{name}: ping of the client, worst", max(work.pings), "ms", limits.ping_worst)
    peak = (watch.peak - watch.memory_before) / _MEGABYTE
    yield Figure(f"{name}: memory growth of the server, peak", peak, "MB", limits.peak)
    yield Figure(f"{name}: the server has ended", not watch.runs, "", 0)
    if watch.runs:
        memory = (watch.memory_after - watch.memory_before) / _MEGABYTE
        yield Figure(f"{name}: memory growth of the server, after", memory, "MB", limits.memory)
        files = watch.files_after - watch.files_before
        yield Figure(f"{name}: more open files, after", files, "", 0)
    size = log.stat().st_size if log.exists() else 0
    yield Figure(f"{name}: log of the server", size / _MEGABYTE, "MB", limits.log)
