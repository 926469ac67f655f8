"""Shares a bounded resource among peers, and leaves some of it for new peers.

Dynamic thresholds, as switches share packet memory (Choudhury and Hahne, 1998): a peer may use no
more than is free at the moment. One greedy peer gets half of the whole, two get a third each, and
the rest is free for the next one.
"""

from __future__ import annotations

__all__ = ["FairShare"]


class FairShare:
    """Counts what each peer uses of a bounded resource, such as bytes.

    Args:
        per_peer: the bound for one peer.
        in_all: the bound for all peers together.
    """

    def __init__(self, per_peer: int, in_all: int) -> None:
        self._per_peer = per_peer
        self._in_all = in_all
        self._used: dict[bytes, int] = {}
        self.total = 0
        """What all peers use."""

    def used(self, peer: bytes) -> int:
        """Return what a peer uses."""
        return self._used.get(peer, 0)

    def room(self, peer: bytes) -> int:
        """Return how much more a peer may use; may be negative."""
        return min(self._per_peer, self._in_all - self.total) - self._used.get(peer, 0)

    def take(self, peer: bytes, amount: int) -> None:
        """Add to what a peer uses. The caller checks the bound, by `room`."""
        self._used[peer] = self._used.get(peer, 0) + amount
        self.total += amount

    def release(self, peer: bytes, amount: int) -> None:
        """Subtract from what a peer uses."""
        self.total -= amount
        used = self._used
        if (taken := used[peer]) == amount:
            del used[peer]
        else:
            used[peer] = taken - amount
