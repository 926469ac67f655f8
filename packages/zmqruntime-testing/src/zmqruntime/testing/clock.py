"""`MovableClock`: a clock that a test advances."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

__all__ = ["MovableClock"]

_START = 1_700_000_000.0


class MovableClock:
    """Unix time and monotonic time that stand still until `advance`. Thread-safe.

    Pass `time`, `monotonic` or `sleep` to code that takes a clock.

    Args:
        frozen: False for a clock that runs in real time and can be advanced beyond it.
    """

    def __init__(self, *, frozen: bool = True) -> None:
        self._offset = 0.0
        self._frozen_at = (_START, 0.0) if frozen else None
        self._lock = threading.Lock()
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Return Unix seconds."""
        return (self._frozen_at[0] if self._frozen_at else time.time()) + self._offset

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment."""
        return (self._frozen_at[1] if self._frozen_at else time.monotonic()) + self._offset

    def sleep(self, seconds: float) -> None:
        """Advance the clock instead of waiting."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Advance the clock, and run the due callbacks in order of their times.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"cannot advance the clock by {seconds:g} s: pass 0 or more")
        with self._lock:
            self._offset += seconds
        while (callback := self._pop_due()) is not None:
            callback()

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` when `advance` reaches ``when`` on the monotonic clock."""
        with self._lock:
            heapq.heappush(self._alarms, (when, next(self._order), callback))

    def _pop_due(self) -> Callable[[], None] | None:
        with self._lock:
            if self._alarms and self._alarms[0][0] <= self.monotonic():
                return heapq.heappop(self._alarms)[2]
            return None
