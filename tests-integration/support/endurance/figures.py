"""Measured values and their limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

__all__ = ["Figure", "percentile", "print_figures", "time_each"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value and its upper limit."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    """None: no limit."""

    @property
    def is_within_limit(self) -> bool:
        return self.limit is None or self.value <= self.limit


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that ``percent`` of the values are below."""
    return sorted(values)[len(values) * percent // 100]


def time_each(call: Callable[[], object], repeat: int) -> list[float]:
    """Return the duration of each call in milliseconds."""
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return times


def print_figures(console: Console, figures: Sequence[Figure]) -> int:
    """Print a table of figures; return the exit code: 1 when one exceeds its limit."""
    table = Table("", "measured", "at most")
    for figure in figures:
        style = "" if figure.is_within_limit else "red"
        limit = "" if figure.limit is None else f"{figure.limit:,g} {figure.unit}"
        table.add_row(figure.name, f"{figure.value:,.5g} {figure.unit}", limit, style=style)
    console.print(table)
    for figure in figures:
        if not figure.is_within_limit:
            console.print(
                f"broken: {figure.name} is {figure.value:,.5g} {figure.unit}; the limit is "
                f"{figure.limit:,g} {figure.unit}",
                soft_wrap=True,
            )
    return 0 if all(figure.is_within_limit for figure in figures) else 1
