"""What was measured, beside what is promised."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

__all__ = ["Figure", "percentile", "tell", "time_each"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; it keeps its promise when it is at most its limit."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    """None: it is only told."""

    @property
    def is_kept(self) -> bool:
        return self.limit is None or self.value <= self.limit


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that ``percent`` of them are below."""
    return sorted(values)[len(values) * percent // 100]


def time_each(call: Callable[[], object], repeat: int) -> list[float]:
    """Return how many milliseconds each call took."""
    took = []
    for _ in range(repeat):
        begun = time.perf_counter()
        call()
        took.append((time.perf_counter() - begun) * 1000)
    return took


def tell(console: Console, figures: Sequence[Figure]) -> int:
    """Show figures; return the exit code: 1 when a promise is not kept."""
    table = Table("", "measured", "at most")
    for figure in figures:
        style = "" if figure.is_kept else "red"
        limit = "" if figure.limit is None else f"{figure.limit:,g} {figure.unit}"
        table.add_row(figure.name, f"{figure.value:,.5g} {figure.unit}", limit, style=style)
    console.print(table)
    for figure in figures:
        if not figure.is_kept:
            console.print(
                f"broken: {figure.name} is {figure.value:,.5g} {figure.unit}, and at most "
                f"{figure.limit:,g} {figure.unit} is promised",
                soft_wrap=True,
            )
    return 0 if all(figure.is_kept for figure in figures) else 1
