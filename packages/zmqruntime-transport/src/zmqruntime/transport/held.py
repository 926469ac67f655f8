"""A bound on replies that are held: long polls, each of which costs one small request."""

from __future__ import annotations

from typing import Final

from zmqruntime.transport.envelope import Caller
from zmqruntime.transport.fair_share import FairShare

__all__ = ["HeldReplies"]

_PER_PEER_BYTES: Final = 16 * 1024 * 1024
_IN_ALL_BYTES: Final = 64 * 1024 * 1024
_COST_BYTES: Final = 1024
"""About what a held reply costs, with its timer, beside what its caller sent."""


class HeldReplies:
    """Counts held replies: about 16,000 for a peer and 64,000 in all, fewer with long ids.

    One peer may hold no more than others have left free; see `FairShare`.
    """

    def __init__(self) -> None:
        self._share = FairShare(_PER_PEER_BYTES, _IN_ALL_BYTES)

    def has_room(self, caller: Caller) -> bool:
        """Whether one more reply may be held for this caller."""
        return self._share.room(caller.envelope[0]) >= _cost(caller)

    def take(self, caller: Caller) -> bool:
        """Count one more held reply; return False, and count nothing, for no room."""
        if not self.has_room(caller):
            return False
        self._share.take(caller.envelope[0], _cost(caller))
        return True

    def release(self, caller: Caller) -> None:
        """Count back a reply that is held no more."""
        self._share.release(caller.envelope[0], _cost(caller))


def _cost(caller: Caller) -> int:
    return _COST_BYTES + len(caller.request_id or "") + sum(map(len, caller.envelope))
