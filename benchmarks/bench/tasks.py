"""The tasks of all contenders: minimal work, with a result that can be checked.

A task is a dict of JSON values. It runs in the worker's process, so this module needs nothing
but Python.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = [
    "CLOCK",
    "HOLD",
    "Report",
    "Task",
    "no_op",
    "pace",
    "read_clock",
    "report",
    "run",
    "spin",
]

Task = dict[str, Any]

Report = Callable[[int, int, float | None], object]
"""Reports progress: number, total, and the time of sending."""

HOLD: Task = {"do": "hold"}
"""Keeps the worker without using it."""

CLOCK = struct.Struct("d")
_A_LONG_TIME = 3600.0


def no_op(number: int) -> Task:
    """Return a task that does nothing; its result is its number."""
    return {"do": "nothing", "number": number}


def report(events: int) -> Task:
    """Return a task that reports so often, as fast as it can; its result is that count."""
    return {"do": "report", "events": events}


def pace(events: int, per_second: int) -> Task:
    """Return a task that reports steadily, and says in each report when it was sent."""
    return report(events) | {"per_second": per_second}


def spin(clock: Path) -> Task:
    """Return a task that never ends, and writes the time to a file, again and again."""
    clock.write_bytes(bytes(CLOCK.size))
    return {"do": "spin", "clock": str(clock)}


def read_clock(clock: Path) -> float:
    """Return when a spinning task was last seen at work, on the monotonic clock; or 0."""
    (seconds,) = CLOCK.unpack(clock.read_bytes())
    return float(seconds)


def reports(task: Task) -> Iterator[tuple[int, int, float | None]]:
    """Yield what a task reports: which it is, of how many, and when it was sent."""
    events = task["events"]
    if "per_second" not in task:
        for n in range(1, events + 1):
            yield n, events, None
        return
    begun = time.monotonic()
    for n in range(1, events + 1):
        time.sleep(max(0.0, begun + n / task["per_second"] - time.monotonic()))
        yield n, events, time.monotonic()


def run(task: Task, report: Report) -> object:
    """Do what a task says, and return its result."""
    match task:
        case {"do": "nothing", "number": number}:
            return number
        case {"do": "report", "events": events}:
            for number, total, sent in reports(task):
                report(number, total, sent)
            return events
        case {"do": "spin", "clock": clock}:
            with Path(clock).open("r+b") as file, mmap.mmap(file.fileno(), CLOCK.size) as page:
                while True:
                    CLOCK.pack_into(page, 0, time.monotonic())
        case {"do": "hold"}:
            time.sleep(_A_LONG_TIME)
            return None
        case _:
            raise ValueError(f"there is no such task: {task}")
