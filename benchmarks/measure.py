"""Stop watches: what a series of times comes to, and what a process costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psutil

__all__ = ["Times", "cpu_seconds", "resident_bytes", "time_calls", "time_in_turns"]


class Times(NamedTuple):
    """A series of durations, in milliseconds."""

    p50: float
    p99: float
    longest: float


def time_calls(call: Callable[[], object], repeat: int, warm_up: int = 50) -> Times:
    """Call again and again, and return how long the calls took."""
    (times,) = time_in_turns([call], repeat, warm_up)
    return times


def time_in_turns(
    calls: Sequence[Callable[[], object]], repeat: int, warm_up: int = 50, turns: int = 10
) -> list[Times]:
    """Time several calls in turns, so that a machine that is slow for a while is so for each."""
    durations: list[list[float]] = [[] for _ in calls]
    for _ in range(turns):
        for call, taken in zip(calls, durations, strict=True):
            for _ in range(warm_up):
                call()
            for _ in range(repeat // turns):
                start = time.perf_counter()
                call()
                taken.append((time.perf_counter() - start) * 1000)
    return [_summarize(sorted(taken)) for taken in durations]


def _summarize(durations: list[float]) -> Times:
    count = len(durations)
    return Times(durations[count // 2], durations[count * 99 // 100], durations[-1])


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that processes have used so far."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def resident_bytes(pids: list[int]) -> int:
    """Return the memory that processes hold."""
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)
