"""The attacked server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from applications import Workshop

from zmqruntime.execution import ExecutionContext
from zmqruntime.messages import JsonValue

__all__ = ["Attacked"]


class Attacked(Workshop):
    """Has small limits, which are reached soon."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        history = {"history_limit": 200, "history_bytes": 4 * 2**20, "events_kept": 50}
        unread = {"unread_limit": 200, "unread_bytes": 4 * 2**20}
        super().__init__(*args, **(history | unread | kwargs))

    def do_touch(self, context: ExecutionContext, path: str) -> JsonValue:
        """Create a file, which shows that the task ran."""
        Path(path).touch()
        return None
