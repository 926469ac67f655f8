"""Sends replies on the control channel, and holds back what is for peers that do not read.

The rules are those of `UnreadReplies`; here are the socket, the loop and the log.
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
from zmqruntime.transport.server.unread_replies import LARGE_BYTES, UnreadReplies
from zmqruntime.transport.server.zero_copy import lend

__all__ = ["ReplySender"]

_SHARE: Final = 4
"""One peer may leave this part of all unread bytes."""


class ReplySender:
    """Sends each reply now, or as soon as its peer has read what was sent before.

    Args:
        loop: in whose thread everything here happens.
        sock: the ROUTER socket, which the loop watches.
        max_unread_bytes: how much all peers together may leave unread.
        log: where dropped replies and requests are noted.
    """

    def __init__(
        self, loop: Loop, sock: zmq.Socket[bytes], max_unread_bytes: int, log: LimitedLog
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._log = log
        self.unread = UnreadReplies(max_unread_bytes // _SHARE, max_unread_bytes)
        self._turn: bytes | None = None
        """The peer for which something that waited is done now: its reply goes before the rest."""

    def send(self, caller: Caller, frame: bytes) -> None:
        """Send an encoded reply, or its refusal, now or later."""
        peer, size = caller.envelope[0], len(frame)
        if size >= LARGE_BYTES:
            if self._must_wait(peer):
                self._wait(peer, partial(self._send_large, caller, frame), size)
            else:
                self._send_large(caller, frame)
            return
        marked = self.unread.sent(peer, size)
        self._send(caller, frame if not marked else self._lend(peer, frame, marked))

    def send_composed(self, caller: Caller, compose: Callable[[], bytes]) -> None:
        """Send a large reply that is composed when there is room for it."""
        peer = caller.envelope[0]
        if self._must_wait(peer):
            self._wait(peer, partial(self._compose, caller, compose), 0)
        else:
            self._compose(caller, compose)

    def holds_back(self, peer: bytes, take: Callable[[], None], size: int) -> bool:
        """Whether a request of ``size`` bytes waits, and is taken later, or is dropped."""
        if not self.unread.must_wait(peer):
            return False
        self._wait(peer, take, size)
        return True

    def _must_wait(self, peer: bytes) -> bool:
        if peer == self._turn:
            return self.unread.is_blocked(peer)
        return self.unread.must_wait(peer)

    def _wait(self, peer: bytes, action: Callable[[], None], size: int) -> None:
        if not self.unread.wait(peer, action, size):
            self._log.warning(
                "requests dropped",
                "request dropped: its peer does not read its replies (%d bytes are unread in all)",
                self.unread.total,
            )

    def _compose(self, caller: Caller, compose: Callable[[], bytes]) -> None:
        if self.unread.is_exhausted(caller.envelope[0]):
            self._refuse(caller)
        else:
            self.send(caller, compose())

    def _send_large(self, caller: Caller, frame: bytes) -> None:
        peer = caller.envelope[0]
        if self.unread.is_exhausted(peer):
            self._refuse(caller)
        else:
            self._send(caller, self._lend(peer, frame, self.unread.sent(peer, len(frame))))

    def _refuse(self, caller: Caller) -> None:
        self._log.warning(
            "replies refused",
            "large reply refused as busy: other peers have not read %d bytes of their replies",
            self.unread.total,
        )
        refusal = ErrorReply(
            code=ErrorCode.BUSY,
            message="the reply is large, and other peers leave so much unread that the server "
            "keeps no more: send the request again in a moment",
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
            self.unread.drop(caller.envelope[0])  # The peer is gone.

    def _lend(self, peer: bytes, frame: bytes, marked: int) -> bytes:
        on_freed = partial(self._on_freed, peer, marked)
        return lend(frame, partial(self._loop.post, on_freed))

    def _on_freed(self, peer: bytes, marked: int) -> None:
        self.unread.freed(peer, marked)
        self._go_on(peer)

    def _go_on(self, peer: bytes) -> None:
        """Do the next thing that waits for a peer; one in each round of the loop."""
        action = self.unread.next_action(peer)
        if action is not None:
            self._turn = peer
            try:
                action()
            finally:
                self._turn = None
            self._loop.post(partial(self._go_on, peer))
