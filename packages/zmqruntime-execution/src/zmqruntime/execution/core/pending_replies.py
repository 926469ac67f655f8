"""Long-poll replies that are held until an execution ends or their time is up."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from zmqruntime.transport.lowlevel import HeldReplies

if TYPE_CHECKING:
    from zmqruntime.execution.core.replies import Compose
    from zmqruntime.transport import Caller

__all__ = ["PendingReplies", "PendingReply"]

_NAME_BYTES: Final = 64
"""About what an id costs besides its characters."""


@dataclass(slots=True, eq=False)
class PendingReply:
    """A reply about one execution that is not yet sent; compared by identity."""

    execution_id: str
    caller: Caller
    compose: Compose
    also: Sequence[str] = ()
    """Further executions; the reply includes the records of those that have ended by then."""
    peer: bytes = b""
    cost: int = 0
    """The bytes that are accounted for it while it is held."""


class PendingReplies:
    """The held replies by execution, bounded by `HeldReplies`."""

    def __init__(self) -> None:
        # Dicts as ordered sets: any one of many on the same execution may be removed.
        self._pending: dict[str, dict[PendingReply, None]] = {}
        self._held = HeldReplies()
        self._release = self._held.release

    def has_room(self, caller: Caller) -> bool:
        """Whether one more reply to a caller may be held."""
        return self._held.has_room(caller)

    def add(self, pending: PendingReply) -> bool:
        """Hold a reply; return False where there is no room."""
        also = pending.also
        size = sum(map(len, also)) + _NAME_BYTES * len(also) if also else 0
        pending.cost = self._held.take(pending.caller, size)
        if not pending.cost:
            return False
        pending.peer = pending.caller.peer
        self._pending.setdefault(pending.execution_id, {})[pending] = None
        return True

    def take(self, execution_id: str) -> Collection[PendingReply]:
        """Remove and return the replies about an execution."""
        pending = self._pending.pop(execution_id, None)
        if pending is None:
            return ()
        release = self._release
        for one in pending:
            release(one.peer, one.cost)
        return pending

    def take_all(self) -> list[PendingReply]:
        """Remove and return all replies."""
        return [pending for name in tuple(self._pending) for pending in self.take(name)]

    def list_ids(self, limit: int) -> list[str]:
        """Return up to ``limit`` ids of executions with held replies."""
        return list(islice(self._pending, limit))

    def remove(self, pending: PendingReply) -> None:
        """Remove one reply."""
        others = self._pending[pending.execution_id]
        del others[pending]
        self._release(pending.peer, pending.cost)
        if not others:
            del self._pending[pending.execution_id]
