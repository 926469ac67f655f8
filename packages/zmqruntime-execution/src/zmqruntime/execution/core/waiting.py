"""Callers whose replies are held until an execution ends, or their time is up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqruntime.execution.core.frames import Compose
    from zmqruntime.transport import Caller

__all__ = ["WaitingCaller", "WaitingCallers"]


@dataclass(slots=True, eq=False)
class WaitingCaller:
    """Who waits for which execution, and in what form to tell of it. None is another's equal."""

    execution_id: str
    caller: Caller
    compose: Compose


class WaitingCallers:
    """Who waits, by execution."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[WaitingCaller, None]] = {}

    def add(self, waiting: WaitingCaller) -> None:
        """Let a caller wait."""
        self._waiting.setdefault(waiting.execution_id, {})[waiting] = None

    def take(self, execution_id: str) -> list[WaitingCaller]:
        """Return all who wait for an execution; they wait no longer."""
        return list(self._waiting.pop(execution_id, ()))

    def take_all(self) -> list[WaitingCaller]:
        """Return all who wait; they wait no longer."""
        waiting, self._waiting = self._waiting, {}
        return [caller for callers in waiting.values() for caller in callers]

    def list_ids(self, limit: int) -> list[str]:
        """Return up to ``limit`` ids of executions that somebody waits for."""
        return list(islice(self._waiting, limit))

    def remove(self, waiting: WaitingCaller) -> None:
        """Let one of them wait no longer."""
        others = self._waiting[waiting.execution_id]
        del others[waiting]
        if not others:
            del self._waiting[waiting.execution_id]
