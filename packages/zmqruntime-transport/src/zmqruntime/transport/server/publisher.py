"""Sends events on the data channel, and bounds the bytes of those that no subscriber has read.

libzmq keeps a message once for all its subscribers, up to ``data_high_water_mark`` messages for
each. A subscriber that is stopped makes it keep that many. Messages of 16 KiB and more are lent
without a copy, so that it is known when the last subscriber has them (see `unread`).
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
"""Large events may take up this part of what may be unread."""


class EventPublisher:
    """Sends messages to all who have subscribed to their topic.

    Args:
        loop: in whose thread everything here happens.
        sock: the XPUB socket, which the loop watches.
        max_unread_bytes: how much of replies and events together may be unread.
        log: where it is noted that large events are left out.
    """

    def __init__(
        self, loop: Loop, sock: zmq.Socket[bytes], max_unread_bytes: int, log: LimitedLog
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._max_bytes = max_unread_bytes // _SHARE
        self._log = log
        self.unread_bytes = 0
        """Of large events that some subscriber has yet to read."""

    def begin(self, topic: bytes) -> None:
        """Send the first frame of a message; `send` sends the other one."""
        self._loop.send(self._sock, topic, more=True)

    def send(self, *frames: bytes) -> None:
        """Send a message, or the rest of one; its body comes last."""
        size = len(frames[-1])
        if size >= LARGE_EVENT_BYTES:
            self.unread_bytes += size
            on_freed = partial(self._loop.post, partial(self._on_freed, size))
            frames = (*frames[:-1], lend(frames[-1], on_freed))
        self._loop.send(self._sock, *frames)

    @property
    def is_full(self) -> bool:
        """Whether subscribers have left as much of large events unread as they may."""
        return self.unread_bytes >= self._max_bytes

    def note_left_out(self, count: int) -> None:
        """Log that large events were not published, when there were any."""
        if count:
            self._log.warning(
                "large events",
                "large events not published: %d; subscribers have not read %d bytes of others",
                count,
                self.unread_bytes,
            )

    def _on_freed(self, size: int) -> None:
        self.unread_bytes -= size
