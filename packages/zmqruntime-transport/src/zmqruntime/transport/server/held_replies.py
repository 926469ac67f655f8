"""Limits of long polls: one small request makes the server hold a reply for up to a minute."""

from __future__ import annotations

from typing import Final

from zmqruntime.transport.envelope import Caller
from zmqruntime.transport.server.fair_share import FairShare

__all__ = ["HeldReplies"]

_PER_PEER_BYTES: Final = 16 * 1024 * 1024
_IN_ALL_BYTES: Final = 64 * 1024 * 1024
_COST_BYTES: Final = 1024
"""The approximate size of a held reply with its timer, without the envelope and the id."""


class HeldReplies:
    """Bounds held replies: about 16,000 for a peer and 64,000 in all, fewer with long ids.

    Peers share these bounds; see `FairShare`.
    """

    def __init__(self) -> None:
        share = self._share = FairShare(_PER_PEER_BYTES, _IN_ALL_BYTES)
        self.release = share.release
        """Releases the cost that `take` returned, by peer and cost."""

    def has_room(self, caller: Caller) -> bool:
        """Whether a further reply may be held for this caller."""
        return self._share.room(caller.peer) >= _cost(caller)

    def take(self, caller: Caller, size: int = 0) -> int:
        """Count a further held reply and return its cost; 0: there is no room.

        ``size`` is the length of the kept part of its request, without the envelope and the id.
        """
        cost = _cost(caller) + size
        if self._share.room(caller.peer) < cost:
            return 0
        self._share.take(caller.peer, cost)
        return cost


def _cost(caller: Caller) -> int:
    return _COST_BYTES + len(caller.request_id or "") + sum(map(len, caller.envelope))
