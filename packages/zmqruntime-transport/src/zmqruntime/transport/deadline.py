"""One deadline for all steps and attempts of a call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Deadline"]

_Clock = Callable[[], float]


class Deadline(NamedTuple):
    """A point in time on a monotonic clock, in seconds; infinite: no limit."""

    at: float
    clock: _Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, clock: _Clock = time.monotonic) -> Deadline:
        """Return the deadline ``seconds`` from now; None: it never expires.

        Raises:
            ValueError: the seconds are NaN.
        """
        if seconds != seconds:  # NaN; faster than `math.isnan`, and valid for None.
            raise ValueError("a time limit is nan: it has to be a number of seconds, or None")
        return cls(float("inf") if seconds is None else clock() + seconds, clock)

    @property
    def remaining(self) -> float:
        """The seconds that are left; 0 after the deadline."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self.clock() >= self.at

    def within(self, seconds: float) -> Deadline:
        """Return the earlier of this deadline and ``seconds`` from now."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)
