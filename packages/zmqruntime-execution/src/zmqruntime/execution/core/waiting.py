"""Callers whose replies are held until an execution ends, or their time is up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from zmqruntime.transport.lowlevel import HeldReplies

if TYPE_CHECKING:
    from zmqruntime.execution.core.frames import Compose
    from zmqruntime.transport import Caller

__all__ = ["WaitingCaller", "WaitingCallers"]

_NAME_BYTES: Final = 64
"""About what a name costs beside its characters."""


@dataclass(slots=True, eq=False)
class WaitingCaller:
    """Who waits for which execution, and in what form to tell of it. None is another's equal."""

    execution_id: str
    caller: Caller
    compose: Compose
    also: Sequence[str] = ()
    """Further executions, of which the reply has the records that are final by then."""
    peer: bytes = b""
    cost: int = 0
    """What it takes up while it is held."""


class WaitingCallers:
    """Who waits, by execution; no more than `HeldReplies` allows."""

    def __init__(self) -> None:
        # Dicts as ordered sets: any one of many who wait for the same may be removed.
        self._waiting: dict[str, dict[WaitingCaller, None]] = {}
        self._held = HeldReplies()
        self._release = self._held.release

    def may_add(self, caller: Caller) -> bool:
        """Whether one more reply to a caller may be held."""
        return self._held.has_room(caller)

    def add(self, waiting: WaitingCaller) -> bool:
        """Let a caller wait; return False for no room."""
        also = waiting.also
        size = sum(map(len, also)) + _NAME_BYTES * len(also) if also else 0
        waiting.cost = self._held.take(waiting.caller, size)
        if not waiting.cost:
            return False
        waiting.peer = waiting.caller.peer
        self._waiting.setdefault(waiting.execution_id, {})[waiting] = None
        return True

    def take(self, execution_id: str) -> Collection[WaitingCaller]:
        """Return all who wait for an execution; they wait no longer."""
        waiting = self._waiting.pop(execution_id, None)
        if waiting is None:
            return ()
        release = self._release
        for one in waiting:
            release(one.peer, one.cost)
        return waiting

    def take_all(self) -> list[WaitingCaller]:
        """Return all who wait; they wait no longer."""
        return [caller for name in tuple(self._waiting) for caller in self.take(name)]

    def list_ids(self, limit: int) -> list[str]:
        """Return up to ``limit`` ids of executions that somebody waits for."""
        return list(islice(self._waiting, limit))

    def remove(self, waiting: WaitingCaller) -> None:
        """Let one of them wait no longer."""
        others = self._waiting[waiting.execution_id]
        del others[waiting]
        self._release(waiting.peer, waiting.cost)
        if not others:
            del self._waiting[waiting.execution_id]
