"""Waiting for what a test needs: for a condition, and never longer than patience lasts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "eventually"]

_T = TypeVar("_T")

PATIENCE = float(os.environ.get("ZMQRUNTIME_TEST_PATIENCE", "60"))
"""Seconds until a wait is given up. On a busy machine things are slow, and nothing is wrong."""


def eventually(look: Callable[[], _T | None], what: str, patience: float = PATIENCE) -> _T:
    """Look until there is something to see, and return it."""
    deadline = time.monotonic() + patience
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {patience:g} s, still not: {what} (last seen: {seen!r})")
        time.sleep(0.005)
    return seen
