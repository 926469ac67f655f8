"""Backpressure: bounds the bytes of unread replies, for each peer and in all.

libzmq bounds the queue of a peer by a number of messages (ZMQ_SNDHWM), and does not report what the
peer has read. It does report when it frees a message that was lent without a copy
(zmq_msg_init_data): when the message is in the kernel, or its peer has disconnected. The messages
of one peer leave in order. So one *marker* in every 64 KiB of replies to a peer suffices: it is
lent, and stands for all replies since the previous marker. A longer reply is a marker of its own.
Other replies are copied as usual; each costs an addition here.

The bound of a peer is its `FairShare`: 64 MiB by default, and no more than is free of the 256 MiB
that all peers share. At its bound

* the peer's requests are postponed, undecoded, in the order of arrival: nothing is computed for a
  peer that does not read. A ROUTER socket itself has no backpressure for a single peer;
* a long-poll reply to it is postponed as a function that composes it;
* both are resumed, one by one, as markers are freed. They are dropped when the peer disconnects.

Postponed actions are bounded as well: beyond 10,000 per peer, or 16 MiB of them (64 MiB in all),
the peer's requests are dropped, and its client retries them. A peer with nothing unread is always
served. While peers that do not read use up the shared bound, a large reply to it is refused as
``busy``, before it is composed; small replies are sent.

So unread replies use at most the bound in all, one message, and 128 KiB for each connection.

Pure: the session sends, and reports here what was sent and freed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from zmqruntime.transport.server.fair_share import FairShare

__all__ = ["LARGE_REPLY_BYTES", "UnreadReplies"]

LARGE_REPLY_BYTES: Final = 64 * 1024
"""The bytes that a marker stands for, and the length from which a reply is its own marker."""

_OVERHEAD_BYTES: Final = 256
"""About what libzmq needs for a reply, in addition to its content."""
_MAX_WAITING: Final = 10_000
_MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
_MAX_ALL_WAITING_BYTES: Final = 64 * 1024 * 1024
_MANY_PEERS: Final = 8192
"""Peers with replies since their last marker, before idle and disconnected ones are removed."""

_Action = Callable[[], None]


class UnreadReplies:
    """Counts unread replies, and keeps postponed actions until their peer has read.

    Args:
        per_peer: the bound of one peer, in bytes; its last reply may exceed it.
        in_all: the bound of all peers together.
    """

    def __init__(self, per_peer: int, in_all: int) -> None:
        self._unread = FairShare(per_peer, in_all)
        self._unmarked: dict[bytes, int] = {}
        """The bytes that were sent to a peer since its last marker."""
        self._many_peers = _MANY_PEERS
        self._postponed: dict[bytes, deque[tuple[_Action, int]]] = {}
        self._postponed_bytes = FairShare(_MAX_WAITING_BYTES, _MAX_ALL_WAITING_BYTES)

    @property
    def total(self) -> int:
        """The bytes for which markers are not freed."""
        return self._unread.total

    @property
    def postponed(self) -> int:
        """The number of postponed requests and held replies."""
        return sum(map(len, self._postponed.values()))

    def is_at_bound(self, peer: bytes) -> bool:
        """Whether a peer has unread replies, and is at its bound."""
        unread = self._unread
        return bool(unread.total) and bool(unread.used(peer)) and unread.room(peer) <= 0

    def must_postpone(self, peer: bytes) -> bool:
        """Whether an action for a peer is to be postponed: at its bound, or behind others."""
        return peer in self._postponed or self.is_at_bound(peer)

    def is_large_refused(self, peer: bytes) -> bool:
        """Whether a large reply to a peer is to be refused: the shared bound is used up."""
        return self._unread.room(peer) <= 0

    def count_sent(self, peer: bytes, size: int) -> int:
        """Count a reply to a peer.

        Returns:
            the bytes that it is a marker for, for `count_freed`; 0: it is no marker.
        """
        unmarked = self._unmarked.get(peer, 0) + size + _OVERHEAD_BYTES
        if unmarked < LARGE_REPLY_BYTES:
            self._unmarked[peer] = unmarked
            if len(self._unmarked) > self._many_peers:
                self._remove_idle_peers()
            return 0
        self._unmarked.pop(peer, None)
        self._unread.take(peer, unmarked)
        return unmarked

    def count_freed(self, peer: bytes, size: int) -> None:
        """Subtract the bytes of a marker that libzmq has freed."""
        self._unread.release(peer, size)

    def postpone(self, peer: bytes, action: _Action, size: int) -> bool:
        """Postpone an action for a peer until it has read; False: there is no room."""
        cost = size + _OVERHEAD_BYTES
        queue = self._postponed.get(peer)
        if queue is None:
            queue = deque()
        # A single one is kept at any length: a task may be longer than the bound.
        elif len(queue) >= _MAX_WAITING or self._postponed_bytes.room(peer) < cost:
            return False
        if self._postponed_bytes.total + cost > _MAX_ALL_WAITING_BYTES:
            return False
        self._postponed[peer] = queue
        queue.append((action, cost))
        self._postponed_bytes.take(peer, cost)
        return True

    def next_action(self, peer: bytes) -> _Action | None:
        """Remove and return the next postponed action for a peer; None: no action, for now."""
        queue = self._postponed.get(peer)
        if queue is None or self.is_at_bound(peer):
            return None
        action, cost = queue.popleft()
        self._postponed_bytes.release(peer, cost)
        if not queue:
            del self._postponed[peer]
        return action

    def drop(self, peer: bytes) -> int:
        """Drop the postponed actions for a disconnected peer; return their number."""
        self._unmarked.pop(peer, None)
        queue = self._postponed.pop(peer, ())
        for _, cost in queue:
            self._postponed_bytes.release(peer, cost)
        return len(queue)

    def _remove_idle_peers(self) -> None:
        """Remove the unmarked bytes of peers that have read all markers."""
        unread = self._unread
        self._unmarked = {p: size for p, size in self._unmarked.items() if unread.used(p)}
        self._many_peers = max(_MANY_PEERS, 2 * len(self._unmarked))
