"""Waits for a condition, with a time limit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "eventually"]

_T = TypeVar("_T")

PATIENCE = float(os.environ.get("ZMQRUNTIME_TEST_PATIENCE", "60"))
"""Seconds until a wait fails; long, because a busy machine is slow."""


def eventually(probe: Callable[[], _T | None], what: str, patience: float = PATIENCE) -> _T:
    """Call ``probe`` until it returns a true value, and return that value."""
    deadline = time.monotonic() + patience
    while not (seen := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(
                f"after {patience:g} s, still not true: {what} (last value: {seen!r})"
            )
        time.sleep(0.005)
    return seen
