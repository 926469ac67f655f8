"""Callers whose status replies are held until an execution ends, or their time is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqruntime.execution.core.timers import Timers

if TYPE_CHECKING:
    from zmqruntime.transport import Caller

__all__ = ["WaitingCallers"]


class WaitingCallers:
    """Who waits for which execution, each until a deadline of its own."""

    def __init__(self) -> None:
        self._callers: dict[str, list[Caller]] = {}
        self._timers: Timers[tuple[str, Caller]] = Timers()

    @property
    def next_deadline(self) -> float | None:
        """When the first of them has waited long enough."""
        return self._timers.next

    def add(self, execution_id: str, caller: Caller, deadline: float) -> None:
        """Let a caller wait."""
        self._callers.setdefault(execution_id, []).append(caller)
        self._timers.set((execution_id, caller), deadline)

    def take(self, execution_id: str) -> list[Caller]:
        """Return all who wait for an execution; they wait no longer."""
        callers = self._callers.pop(execution_id, [])
        for caller in callers:
            self._timers.cancel((execution_id, caller))
        return callers

    def take_due(self, now: float) -> list[tuple[str, Caller]]:
        """Return those whose time is up; they wait no longer."""
        due = self._timers.take_due(now)
        for execution_id, caller in due:
            callers = self._callers[execution_id]
            callers.remove(caller)
            if not callers:
                del self._callers[execution_id]
        return due
