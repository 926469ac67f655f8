"""Stop watches: what a series of times comes to, and what a process costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import psutil

__all__ = ["Times", "cpu_seconds", "resident_bytes", "time_calls"]


class Times(NamedTuple):
    """A series of durations, in milliseconds."""

    p50: float
    p99: float
    longest: float


def time_calls(call: Callable[[], object], repeat: int, warm_up: int = 50) -> Times:
    """Call again and again, and return how long the calls took."""
    for _ in range(warm_up):
        call()
    durations = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        durations.append((time.perf_counter() - start) * 1000)
    durations.sort()
    return Times(durations[repeat // 2], durations[repeat * 99 // 100], durations[-1])


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that processes have used so far."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def resident_bytes(pids: list[int]) -> int:
    """Return the memory that processes hold."""
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)
