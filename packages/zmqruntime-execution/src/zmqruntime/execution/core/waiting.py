"""Callers whose replies are held until an execution ends, or their time is up."""

from __future__ import annotations

from dataclasses import dataclass
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
        self._waiting: dict[str, list[WaitingCaller]] = {}

    def add(self, waiting: WaitingCaller) -> None:
        """Let a caller wait."""
        self._waiting.setdefault(waiting.execution_id, []).append(waiting)

    def take(self, execution_id: str) -> list[WaitingCaller]:
        """Return all who wait for an execution; they wait no longer."""
        return self._waiting.pop(execution_id, [])

    def take_all(self) -> list[WaitingCaller]:
        """Return all who wait; they wait no longer."""
        waiting, self._waiting = self._waiting, {}
        return [caller for callers in waiting.values() for caller in callers]

    def remove(self, waiting: WaitingCaller) -> None:
        """Let one of them wait no longer."""
        others = self._waiting[waiting.execution_id]
        others.remove(waiting)
        if not others:
            del self._waiting[waiting.execution_id]
