"""The bytes of replies that peers have not read, bounded for each peer and in all.

libzmq bounds what waits for a peer by a count of messages (ZMQ_SNDHWM) and does not report what a
peer has read. What it does report is when it frees a message that it was lent without a copy
(zmq_msg_init_data): when the message is in the kernel, or its peer is gone. The messages of one
peer leave in order. So one *marker* in every 64 KiB of replies to a peer suffices: it is lent, and
stands for all replies since the marker before it. A longer reply is a marker of its own. Small
replies go the usual way; each costs an addition here.

What a peer may leave unread is its `FairShare`: 64 MiB by default, and no more than is free of the
256 MiB that all peers share. At its bound

* the peer's requests wait, undecoded, in the order of arrival: nothing is done or composed for a
  peer that does not read. Backpressure, as a ROUTER has none for a single peer;
* a held reply (long poll) to it waits as a function that composes it;
* both go on, one by one, as markers are freed. When the peer is gone they are dropped.

What waits is bounded as well: beyond 10,000 per peer, or 16 MiB of them (64 MiB in all), the
peer's requests are dropped, which a client takes for a lost reply. A peer with nothing unread is
always served. When others, that do not read, use up what all peers share, it is refused a large
reply with the error ``busy``, before that is composed; small replies are sent.

So unread replies take up at most the bound in all, one message, and for each connection 128 KiB.

Pure: the session sends, and reports here what was sent and what was freed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from zmqruntime.transport.server.fair_share import FairShare

__all__ = ["LARGE_BYTES", "UnreadReplies"]

LARGE_BYTES: Final = 64 * 1024
"""How much a marker stands for, and from which length on a message is one of its own."""

_OVERHEAD_BYTES: Final = 256
"""About what libzmq needs for a reply beside its content."""
_MAX_WAITING: Final = 10_000
_MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
_MAX_ALL_WAITING_BYTES: Final = 64 * 1024 * 1024
_MANY_PEERS: Final = 8192
"""Of so many peers less than 64 KiB are remembered, each; of those gone in the meantime, too."""

_Action = Callable[[], None]


class UnreadReplies:
    """Accounts for unread replies, and keeps what waits until a peer has read.

    Args:
        per_peer: how many bytes one peer may leave unread; the last reply may exceed that.
        in_all: how many all of them may.
    """

    def __init__(self, per_peer: int, in_all: int) -> None:
        self._unread = FairShare(per_peer, in_all)
        self._unmarked: dict[bytes, int] = {}
        """What was sent to a peer since its last marker."""
        self._many_peers = _MANY_PEERS
        self._waiting: dict[bytes, deque[tuple[_Action, int]]] = {}
        self._waiting_bytes = FairShare(_MAX_WAITING_BYTES, _MAX_ALL_WAITING_BYTES)

    @property
    def total(self) -> int:
        """How many bytes are known to be unread."""
        return self._unread.total

    @property
    def waiting(self) -> int:
        """How many requests and held replies wait."""
        return sum(map(len, self._waiting.values()))

    def is_blocked(self, peer: bytes) -> bool:
        """Whether something is unread by a peer, and it is as much as may be, for now."""
        unread = self._unread
        return bool(unread.total) and bool(unread.used(peer)) and unread.room(peer) <= 0

    def must_wait(self, peer: bytes) -> bool:
        """Whether what is to be done for a peer waits: for what is unread, or behind others."""
        return peer in self._waiting or self.is_blocked(peer)

    def is_exhausted(self, peer: bytes) -> bool:
        """Whether a large reply to a peer is refused: others have left too much unread."""
        return self._unread.room(peer) <= 0

    def sent(self, peer: bytes, size: int) -> int:
        """Count a reply to a peer.

        Returns:
            how many bytes it is a marker for, which are `freed` with it; 0: it is none.
        """
        unmarked = self._unmarked.get(peer, 0) + size + _OVERHEAD_BYTES
        if unmarked < LARGE_BYTES:
            self._unmarked[peer] = unmarked
            if len(self._unmarked) > self._many_peers:
                self._forget_idle_peers()
            return 0
        self._unmarked.pop(peer, None)
        self._unread.take(peer, unmarked)
        return unmarked

    def freed(self, peer: bytes, size: int) -> None:
        """Count back what a marker stood for: libzmq has freed it."""
        self._unread.release(peer, size)

    def wait(self, peer: bytes, action: _Action, size: int) -> bool:
        """Keep what is to be done for a peer until it has read; return False for no room."""
        cost = size + _OVERHEAD_BYTES
        waiting = self._waiting.get(peer)
        if waiting is None:
            waiting = deque()
        # A single one is taken whatever its length: the longest task may be longer than the bound.
        elif len(waiting) >= _MAX_WAITING or self._waiting_bytes.room(peer) < cost:
            return False
        if self._waiting_bytes.total + cost > _MAX_ALL_WAITING_BYTES:
            return False
        self._waiting[peer] = waiting
        waiting.append((action, cost))
        self._waiting_bytes.take(peer, cost)
        return True

    def next_action(self, peer: bytes) -> _Action | None:
        """Remove and return what is to be done next for a peer; None: nothing, for now."""
        waiting = self._waiting.get(peer)
        if waiting is None or self.is_blocked(peer):
            return None
        action, cost = waiting.popleft()
        self._waiting_bytes.release(peer, cost)
        if not waiting:
            del self._waiting[peer]
        return action

    def drop(self, peer: bytes) -> int:
        """Drop all that waits for a peer, which is gone; return how many there were."""
        self._unmarked.pop(peer, None)
        waiting = self._waiting.pop(peer, ())
        for _, cost in waiting:
            self._waiting_bytes.release(peer, cost)
        return len(waiting)

    def _forget_idle_peers(self) -> None:
        """Forget what is not yet marked of the peers that have read everything else."""
        unread = self._unread
        self._unmarked = {p: size for p, size in self._unmarked.items() if unread.used(p)}
        self._many_peers = max(_MANY_PEERS, 2 * len(self._unmarked))
