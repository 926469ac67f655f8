"""Waiting for ZeroMQ sockets and plain ones together, at a few system calls for each wait.

``zmq_poll`` looks at every ZeroMQ socket before it blocks and again behind that, by two system
calls each. Here the system's own selector waits for their descriptors, and only those are looked
at that were used since. https://libzmq.readthedocs.io/en/latest/zmq_getsockopt.html (ZMQ_FD)
"""

from __future__ import annotations

import math
import selectors

import zmq

from zmqruntime.transport.multipart import send_frames

__all__ = ["READ", "WRITE", "SocketPoller"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

# Plain integers: pyzmq's own flags are slow to work with.
_FD, _EVENTS, _POLLIN = int(zmq.FD), int(zmq.EVENTS), int(zmq.POLLIN)
# The longest that one wait may take: systems count milliseconds in a signed 32-bit number.
_LONGEST_SECONDS = (2**31 - 1) / 1000

_FewSelector: type[selectors.BaseSelector] = getattr(
    selectors,
    "PollSelector",
    selectors.DefaultSelector,  # Windows has select(2) alone.
)


class SocketPoller:
    """Watches ZeroMQ sockets and descriptors of plain sockets. For one thread at a time.

    A ZeroMQ socket that is watched is sent on by `send` alone. It is read when `poll` has told of
    it; at other times until there is nothing more, or `look_again` is called. It is unregistered
    before it is closed.

    Args:
        few: whether there are few of them: then it needs no descriptor of its own.
    """

    def __init__(self, *, few: bool = False) -> None:
        self._selector = _FewSelector() if few else selectors.DefaultSelector()
        self._descriptors: dict[zmq.Socket[bytes], int] = {}
        # Whatever is done with a socket may take note of a message, so that its descriptor does
        # not tell of it any more.
        self._used: set[zmq.Socket[bytes]] = set()

    def register(self, sock: zmq.Socket[bytes] | int) -> None:
        """Watch a socket for what there is to read; of a plain one, its end counts, too."""
        fd = sock
        if not isinstance(sock, int):
            fd = self._descriptors[sock] = int(sock.getsockopt(_FD))
            self._used.add(sock)
        self._selector.register(fd, READ, sock)

    def modify(self, fd: int, events: int) -> None:
        """Watch a plain socket for something else: `READ`, or ``READ | WRITE``."""
        self._selector.modify(fd, events, fd)

    def unregister(self, sock: zmq.Socket[bytes] | int) -> None:
        """Watch a socket no more."""
        fd = sock
        if not isinstance(sock, int):
            fd = self._descriptors.pop(sock)
            self._used.discard(sock)
        self._selector.unregister(fd)

    def send(self, sock: zmq.Socket[bytes], *frames: bytes, more: bool = False) -> None:
        """Send one message, or its beginning, by a socket that is watched, without blocking.

        Raises:
            zmq.Again: the socket takes none now; nothing of the message was sent.
        """
        self._used.add(sock)
        send_frames(sock, *frames, more=more)

    def look_again(self, sock: zmq.Socket[bytes]) -> None:
        """Have the next `poll` report what was left unread in a socket that is watched."""
        self._used.add(sock)

    def poll(self, seconds: float) -> dict[zmq.Socket[bytes] | int, int]:
        """Wait until there is something to do, and return where, and what.

        A ZeroMQ socket may have nothing to read after all: read without blocking.

        Args:
            seconds: how long to wait; infinite for no limit.
        """
        used = self._used = {sock for sock in self._used if int(sock.getsockopt(_EVENTS)) & _POLLIN}
        timeout: float | None = 0.0
        if not used:
            timeout = None if seconds == math.inf else min(seconds, _LONGEST_SECONDS)
        ready: dict[zmq.Socket[bytes] | int, int] = dict.fromkeys(used, READ)
        for key, events in self._selector.select(timeout):
            ready[key.data] = events
            if key.data in self._descriptors:  # It is read now.
                used.add(key.data)
        return ready

    def close(self) -> None:
        """Give back what the system has for it."""
        self._selector.close()
