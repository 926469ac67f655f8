"""Time that a test moves."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

__all__ = ["MovableClock"]

_START = 1_700_000_000.0


class MovableClock:
    """Two clocks in one, Unix time and monotonic time, that stand still until they are moved.

    Hand `time`, `monotonic` or `sleep` to code that takes a clock. From any thread.

    Args:
        frozen: False: it goes as the real clock does, and the test moves it ahead of that.
    """

    def __init__(self, *, frozen: bool = True) -> None:
        self._ahead = 0.0
        self._frozen_at = (_START, 0.0) if frozen else None
        self._lock = threading.Lock()
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Return Unix seconds."""
        return (self._frozen_at[0] if self._frozen_at else time.time()) + self._ahead

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return (self._frozen_at[1] if self._frozen_at else time.monotonic()) + self._ahead

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock, and call what has become due, in order.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time goes forward only, not by {seconds:g} s")
        with self._lock:
            self._ahead += seconds
        while (callback := self._take_due()) is not None:
            callback()

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Have ``advance`` call back when it reaches ``when`` on the monotonic clock."""
        with self._lock:
            heapq.heappush(self._alarms, (when, next(self._order), callback))

    def _take_due(self) -> Callable[[], None] | None:
        with self._lock:
            if self._alarms and self._alarms[0][0] <= self.monotonic():
                return heapq.heappop(self._alarms)[2]
            return None
