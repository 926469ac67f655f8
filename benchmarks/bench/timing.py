"""Durations of calls, and resources of processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

__all__ = ["Times", "cpu_seconds", "resident_bytes", "summarize", "time_each", "time_in_turns"]

TURNS = 10
_LONG_ENOUGH = 2.0


class Times(NamedTuple):
    """A series of durations, in milliseconds."""

    p50: float
    p99: float
    longest: float


def summarize(seconds: Iterable[float]) -> Times:
    """Return the percentiles of a series of durations."""
    taken = sorted(1000 * duration for duration in seconds)
    count = len(taken)
    return Times(taken[count // 2], taken[count * 99 // 100], taken[-1])


def time_each(call: Callable[[], object], repeat: int, warm_up: int = 50) -> list[float]:
    """Repeat a call, and return the duration of each in seconds.

    No call begins after two seconds, so slow calls are repeated less often.
    """
    taken: list[float] = []
    enough = time.perf_counter() + _LONG_ENOUGH
    for number in range(-warm_up, repeat):
        begun = time.perf_counter()
        call()
        now = time.perf_counter()
        if number >= 0 or now > enough:
            taken.append(now - begun)
        if now > enough:
            break
    return taken


def time_in_turns(calls: Sequence[Callable[[], object]], repeat: int) -> list[Times]:
    """Time several calls in turns, so that a slow phase of the machine affects all of them."""
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(TURNS):
        for place in range(len(calls)):
            n = (turn + place) % len(calls)  # The order rotates.
            taken[n] += time_each(calls[n], max(1, repeat // TURNS), warm_up=10)
    return [summarize(durations) for durations in taken]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of processes."""
    return sum(map(_cpu_seconds, pids))


def _cpu_seconds(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task")
    if not threads.exists():
        return float(sum(psutil.Process(pid).cpu_times()[:2]))
    # In nanoseconds; the resolution of psutil is 10 ms.
    return sum(int((t / "schedstat").read_text().split()[0]) for t in threads.iterdir()) / 1e9


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of processes."""
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)
