"""Exponential backoff between the attempts of one operation."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Backoff"]

# Keeps the power from overflowing; the cap is reached long before.
_MAX_DOUBLINGS: Final = 100


class Backoff(NamedTuple):
    """Exponential backoff: doubles the delay after each failure, up to a cap. In seconds."""

    first: float
    """The delay after the first failure."""
    cap: float
    """The longest delay."""

    def compute_delay(self, failures: int) -> float:
        """Return the delay after so many consecutive failures, 1 for the first."""
        return min(self.first * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), self.cap)
