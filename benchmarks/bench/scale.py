"""The contender of a measurement, and the amounts of work."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.contender import Contender

__all__ = ["FULL", "QUICK", "Case", "Figures", "Measuring", "Scale"]

Figures = dict[str, float]
Measuring = Generator[None, None, Figures]


@dataclass(frozen=True, slots=True)
class Scale:
    """The amounts of work."""

    round_trips: int = 3000
    no_ops: int = 5000
    events: int = 50_000
    paced_events: int = 5000
    requests: int = 1000
    answers: int = 20_000
    """Requests to a busy server, in two seconds at most; a p99 needs many."""
    cancels: int = 20
    depths: tuple[int, ...] = (0, 10_000, 100_000)
    submits: int = 300
    records: int = 5000
    starts: int = 3
    idle_seconds: float = 10.0
    fan_out: tuple[tuple[int, int], ...] = ((1, 20_000), (10, 10_000), (100, 5000))
    """Pairs: the number of subscribers, and of events."""


FULL = Scale()
QUICK = Scale(
    round_trips=100,
    no_ops=200,
    events=1000,
    paced_events=100,
    requests=50,
    answers=50,
    cancels=2,
    depths=(0, 100, 200),
    submits=20,
    records=300,
    starts=1,
    idle_seconds=0.3,
    fan_out=((1, 200), (10, 200), (100, 100)),
)


@dataclass(frozen=True, slots=True)
class Case:
    """The contender, and the amounts of work."""

    name: str
    driver: type[Contender]
    scale: Scale
    running: Callable[[type[Contender]], AbstractContextManager[Contender]]

    def make(self) -> AbstractContextManager[Contender]:
        """Start a new instance of the contender."""
        return self.running(self.driver)
