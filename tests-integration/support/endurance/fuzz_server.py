"""The attacked server."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path
from typing import Any

from applications import Workshop

from zmqruntime.execution import ExecutionContext
from zmqruntime.messages import JsonValue

__all__ = ["Attacked"]


class Attacked(Workshop):
    """Has small limits, which are reached soon; returns free memory to the system at SIGUSR1."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        history = {"history_limit": 200, "history_bytes": 4 * 2**20, "events_kept": 50}
        unread = {"unread_limit": 200, "unread_bytes": 4 * 2**20}
        super().__init__(*args, **(history | unread | kwargs))
        if sys.platform == "linux":
            signal.signal(signal.SIGUSR1, lambda *_: _trim_memory())

    def do_touch(self, context: ExecutionContext, path: str) -> JsonValue:
        """Create a file, which shows that the task ran."""
        Path(path).touch()
        return None


def _trim_memory() -> None:
    """Return the free memory of all arenas to the system (malloc_trim(3), glibc only)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
