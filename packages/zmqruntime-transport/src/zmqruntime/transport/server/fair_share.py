"""A bound on what peers take up, of each one and in all, that leaves room for newcomers.

Dynamic thresholds, as switches share their packet memory (Choudhury and Hahne, 1998): a peer may
take up no more than is free at the moment. One greedy peer gets half of the whole, two get a third
each, and some of it stays free for the next one. Pure: no peer is known here but by its name.
"""

from __future__ import annotations

__all__ = ["FairShare"]


class FairShare:
    """Counts what each peer takes up of something scarce: bytes, as a rule.

    Args:
        per_peer: the most of one peer.
        in_all: the most of all peers together.
    """

    def __init__(self, per_peer: int, in_all: int) -> None:
        self._per_peer = per_peer
        self._in_all = in_all
        self._used: dict[bytes, int] = {}
        self.total = 0
        """What all peers take up."""

    def used(self, peer: bytes) -> int:
        """Return what a peer takes up."""
        return self._used.get(peer, 0)

    def room(self, peer: bytes) -> int:
        """Return how much more a peer may take; 0 or less: nothing."""
        return min(self._per_peer, self._in_all - self.total) - self._used.get(peer, 0)

    def take(self, peer: bytes, amount: int) -> None:
        """Count what a peer takes up, also beyond its bound: the caller decides."""
        self._used[peer] = self._used.get(peer, 0) + amount
        self.total += amount

    def release(self, peer: bytes, amount: int) -> None:
        """Count back what was taken."""
        self.total -= amount
        used = self._used
        if (taken := used[peer]) == amount:
            del used[peer]
        else:
            used[peer] = taken - amount
