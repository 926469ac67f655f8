"""One time limit for a call, however many steps and tries it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Deadline"]

_Clock = Callable[[], float]

# Windows reads a poll's time as a signed 32-bit number of milliseconds.
_MAX_POLL_MS = 2**31 - 1


class Deadline(NamedTuple):
    """A moment on a monotonic clock, in seconds; infinite for no limit."""

    at: float
    clock: _Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, clock: _Clock = time.monotonic) -> Deadline:
        """Return the deadline ``seconds`` from now; None never expires."""
        return cls(float("inf") if seconds is None else clock() + seconds, clock)

    @property
    def remaining(self) -> float:
        """Seconds left, 0 when it has passed."""
        return max(0.0, self.at - self.clock())

    @property
    def poll_ms(self) -> int | None:
        """What is left in whole milliseconds, rounded up, as a poller takes it; None: no limit."""
        remaining = self.remaining
        if remaining == float("inf"):
            return None
        return math.ceil(min(remaining * 1000, _MAX_POLL_MS))

    @property
    def expired(self) -> bool:
        """Whether it has passed."""
        return self.clock() >= self.at

    def within(self, seconds: float) -> Deadline:
        """Return the sooner of this deadline and ``seconds`` from now."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)
