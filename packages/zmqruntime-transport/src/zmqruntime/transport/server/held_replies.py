"""A bound on replies that are held: long polls, each of which costs one small request."""

from __future__ import annotations

from typing import Final

from zmqruntime.transport.envelope import Caller
from zmqruntime.transport.server.fair_share import FairShare

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
        share = self._share = FairShare(_PER_PEER_BYTES, _IN_ALL_BYTES)
        self.release = share.release
        """Counts back what a reply of a peer took up, by `take`."""

    def has_room(self, caller: Caller) -> bool:
        """Whether one more reply may be held for this caller."""
        return self._share.room(caller.peer) >= _cost(caller)

    def take(self, caller: Caller, size: int = 0) -> int:
        """Count one more held reply, and return what it takes up; 0: there is no room.

        ``size`` is what is kept of its request, beside the envelope and the id, in bytes.
        """
        cost = _cost(caller) + size
        if self._share.room(caller.peer) < cost:
            return 0
        self._share.take(caller.peer, cost)
        return cost


def _cost(caller: Caller) -> int:
    return _COST_BYTES + len(caller.request_id or "") + sum(map(len, caller.envelope))
