"""One time limit for a call, however many steps and tries it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Deadline"]

_Clock = Callable[[], float]


class Deadline(NamedTuple):
    """A moment on a monotonic clock, in seconds; infinite for no limit."""

    at: float
    clock: _Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, clock: _Clock = time.monotonic) -> Deadline:
        """Return the deadline ``seconds`` from now; None never expires.

        Raises:
            ValueError: the seconds are NaN, which would neither expire nor leave any time.
        """
        if seconds != seconds:  # Only NaN; quicker than `math.isnan`, and None may be given.
            raise ValueError("a time limit is nan: it has to be a number of seconds, or None")
        return cls(float("inf") if seconds is None else clock() + seconds, clock)

    @property
    def remaining(self) -> float:
        """Seconds left, 0 when it has passed."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        """Whether it has passed."""
        return self.clock() >= self.at

    def within(self, seconds: float) -> Deadline:
        """Return the sooner of this deadline and ``seconds`` from now."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)
