"""Publishes events on the data channel, and bounds the bytes of unread ones.

libzmq keeps a message once for all its subscribers, up to ``data_high_water_mark`` messages for
each: as many as that while a subscriber does not read. Messages of 16 KiB and more are lent without
a copy, so that libzmq reports when the last subscriber has read one (see `unread_replies`).
"""

from __future__ import annotations

from functools import partial
from typing import Final

import zmq

from zmqruntime.transport.limited_log import LimitedLog
from zmqruntime.transport.loop import Loop
from zmqruntime.transport.server.zero_copy import lend

__all__ = ["LARGE_EVENT_BYTES", "EventPublisher"]

LARGE_EVENT_BYTES: Final = 16 * 1024
_SHARE: Final = 4
"""The part of ``max_unread_bytes`` for large events: a quarter."""


class EventPublisher:
    """Sends messages to the subscribers of their topic.

    Args:
        loop: the loop whose thread this runs in.
        sock: the XPUB socket, registered with the loop.
        max_unread_bytes: the bound of unread replies and events together.
        log: takes a line for large events that were dropped.
    """

    def __init__(
        self, loop: Loop, sock: zmq.Socket[bytes], max_unread_bytes: int, log: LimitedLog
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._max_bytes = max_unread_bytes // _SHARE
        self._log = log
        self.unread_bytes = 0
        """The bytes of large events that at least one subscriber has not read."""

    def begin(self, topic: bytes) -> None:
        """Send the first frame of a message; `send` completes it."""
        self._loop.send(self._sock, topic, more=True)

    def send(self, *frames: bytes) -> None:
        """Send a message, or the rest of one; the last frame is its body."""
        size = len(frames[-1])
        if size >= LARGE_EVENT_BYTES:
            self.unread_bytes += size
            on_freed = partial(self._loop.post, partial(self._on_freed, size))
            frames = (*frames[:-1], lend(frames[-1], on_freed))
        self._loop.send(self._sock, *frames)

    @property
    def is_full(self) -> bool:
        """Whether the bound of unread large events is reached."""
        return self.unread_bytes >= self._max_bytes

    def log_dropped_events(self, count: int) -> None:
        """Log that ``count`` large events were not published; nothing for 0."""
        if count:
            self._log.warning(
                "large events",
                "large events not published: %d; subscribers have not read %d bytes of others",
                count,
                self.unread_bytes,
            )

    def _on_freed(self, size: int) -> None:
        self.unread_bytes -= size
