"""The server that is attacked: an application with a short memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from applications import Workshop

from zmqruntime.execution import ExecutionContext
from zmqruntime.messages import JsonValue

__all__ = ["Attacked"]


class Attacked(Workshop):
    """Keeps little, so that what it keeps is soon of one size."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, history_limit=200, events_kept=50, **kwargs)

    def do_touch(self, context: ExecutionContext, path: str) -> JsonValue:
        """Leave a file, which shows that a task ran."""
        Path(path).touch()
        return None
