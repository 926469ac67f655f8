"""The tasks of all workloads, with checkable results.

A task is a dict of JSON values. It runs in a worker of any system, so this module imports only the
standard library.
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
"""Reports progress: the number of the report, their count, and the time it was sent."""

HOLD: Task = {"do": "hold"}
"""Occupies the worker without using the CPU."""

CLOCK = struct.Struct("d")
_A_LONG_TIME = 3600.0


def no_op(number: int) -> Task:
    """Return a task that returns its number."""
    return {"do": "nothing", "number": number}


def report(events: int) -> Task:
    """Return a task that reports ``events`` times at full speed and returns that count."""
    return {"do": "report", "events": events}


def pace(events: int, per_second: int) -> Task:
    """Return a task that reports at a constant rate, with the time of each report."""
    return report(events) | {"per_second": per_second}


def spin(clock: Path) -> Task:
    """Return an endless task that writes the time to a file continuously."""
    clock.write_bytes(bytes(CLOCK.size))
    return {"do": "spin", "clock": str(clock)}


def read_clock(clock: Path) -> float:
    """Return the last time that a spinning task wrote, on the monotonic clock; or 0."""
    (seconds,) = CLOCK.unpack(clock.read_bytes())
    return float(seconds)


def reports(task: Task) -> Iterator[tuple[int, int, float | None]]:
    """Yield a task's reports: the number, the count, and the time it was sent."""
    events = task["events"]
    if "per_second" not in task:
        for n in range(1, events + 1):
            yield n, events, None
        return
    begun = time.monotonic()
    for n in range(1, events + 1):
        time.sleep(max(0.0, begun + n / task["per_second"] - time.monotonic()))
        yield n, events, time.monotonic()


def run(task: Task, send_report: Report) -> object:
    """Run a task, and return its result."""
    match task:
        case {"do": "nothing", "number": number}:
            return number
        case {"do": "report", "events": events}:
            for number, total, sent in reports(task):
                send_report(number, total, sent)
            return events
        case {"do": "spin", "clock": clock}:
            with Path(clock).open("r+b") as file, mmap.mmap(file.fileno(), CLOCK.size) as page:
                while True:
                    CLOCK.pack_into(page, 0, time.monotonic())
        case {"do": "hold"}:
            time.sleep(_A_LONG_TIME)
            return None
        case _:
            raise ValueError(f"unknown task: {task}")
