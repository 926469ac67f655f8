"""Sends replies on the control channel; backpressure for peers that do not read them.

The rules are in `UnreadReplies`; this module adds the socket, the loop and the log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import zmq

from zmqruntime.messages import ErrorCode, ErrorReply
from zmqruntime.messages.lowlevel import encode_with_id
from zmqruntime.transport.envelope import Caller
from zmqruntime.transport.limited_log import LimitedLog
from zmqruntime.transport.loop import Loop
from zmqruntime.transport.server.unread_replies import LARGE_REPLY_BYTES, UnreadReplies
from zmqruntime.transport.server.zero_copy import lend

__all__ = ["ReplySender"]

_SHARE: Final = 4
"""The part of ``max_unread_bytes`` for one peer: a quarter."""


class ReplySender:
    """Sends each reply now, or when its peer has read enough of the earlier ones.

    Args:
        loop: the loop whose thread this runs in.
        sock: the ROUTER socket, registered with the loop.
        max_unread_bytes: the bound of unread replies of all peers together.
        log: takes lines for dropped replies and requests.
    """

    def __init__(
        self, loop: Loop, sock: zmq.Socket[bytes], max_unread_bytes: int, log: LimitedLog
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._log = log
        self.unread = UnreadReplies(max_unread_bytes // _SHARE, max_unread_bytes)
        self._resuming_peer: bytes | None = None
        """The peer whose next postponed action runs now: its reply precedes those that wait."""

    def send(self, caller: Caller, frame: bytes) -> None:
        """Send an encoded reply, now or later; a large one may be refused instead."""
        peer, size = caller.envelope[0], len(frame)
        if size >= LARGE_REPLY_BYTES:
            if self._must_postpone(peer):
                self._postpone(peer, partial(self._send_large, caller, frame), size)
            else:
                self._send_large(caller, frame)
            return
        marked = self.unread.count_sent(peer, size)
        self._send(caller, frame if not marked else self._lend(peer, frame, marked))

    def send_composed(self, caller: Caller, compose: Callable[[], bytes]) -> None:
        """Send a large reply that is composed only when it can be sent."""
        peer = caller.envelope[0]
        if self._must_postpone(peer):
            self._postpone(peer, partial(self._compose, caller, compose), 0)
        else:
            self._compose(caller, compose)

    def postpones(self, peer: bytes, take: Callable[[], None], size: int) -> bool:
        """Postpone a request of ``size`` bytes, or drop it, while its peer does not read.

        Returns:
            whether it was postponed or dropped; False: the caller handles it now.
        """
        if not self.unread.must_postpone(peer):
            return False
        self._postpone(peer, take, size)
        return True

    def _must_postpone(self, peer: bytes) -> bool:
        if peer == self._resuming_peer:
            return self.unread.is_at_bound(peer)
        return self.unread.must_postpone(peer)

    def _postpone(self, peer: bytes, action: Callable[[], None], size: int) -> None:
        if not self.unread.postpone(peer, action, size):
            self._log.warning(
                "requests dropped",
                "request dropped: its peer does not read its replies (%d bytes are unread in all)",
                self.unread.total,
            )

    def _compose(self, caller: Caller, compose: Callable[[], bytes]) -> None:
        if self.unread.is_large_refused(caller.envelope[0]):
            self._refuse(caller)
        else:
            self.send(caller, compose())

    def _send_large(self, caller: Caller, frame: bytes) -> None:
        peer = caller.envelope[0]
        if self.unread.is_large_refused(peer):
            self._refuse(caller)
        else:
            self._send(caller, self._lend(peer, frame, self.unread.count_sent(peer, len(frame))))

    def _refuse(self, caller: Caller) -> None:
        self._log.warning(
            "replies refused",
            "large reply refused as busy: other peers have not read %d bytes of their replies",
            self.unread.total,
        )
        refusal = ErrorReply(
            code=ErrorCode.BUSY,
            message="no room for a large reply, since other peers have not read theirs: send the "
            "request again in a moment",
        )
        self.send(caller, encode_with_id(refusal, caller.request_id))

    def _send(self, caller: Caller, frame: bytes) -> None:
        try:
            self._loop.send(self._sock, *caller.envelope, frame)
        except zmq.Again:
            self._log.warning(
                "replies dropped",
                "reply dropped: the peer's queue of %d messages is full",
                self._sock.sndhwm,
            )
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.unread.drop(caller.envelope[0])  # The peer has disconnected.

    def _lend(self, peer: bytes, frame: bytes, marked: int) -> bytes:
        on_freed = partial(self._on_freed, peer, marked)
        return lend(frame, partial(self._loop.post, on_freed))

    def _on_freed(self, peer: bytes, marked: int) -> None:
        self.unread.count_freed(peer, marked)
        self._resume(peer)

    def _resume(self, peer: bytes) -> None:
        """Run the next postponed action for a peer; one in each round of the loop."""
        action = self.unread.next_action(peer)
        if action is not None:
            self._resuming_peer = peer
            try:
                action()
            finally:
                self._resuming_peer = None
            self._loop.post(partial(self._resume, peer))
