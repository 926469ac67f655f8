"""Polls ZeroMQ sockets and plain ones together, with few system calls for each wait.

``zmq_poll`` checks every ZeroMQ socket before and after it blocks, with two system calls each.
Here the system's selector waits for their descriptors (ZMQ_FD), and only the sockets that were used
since are checked. https://libzmq.readthedocs.io/en/latest/zmq_getsockopt.html
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
# Systems count the milliseconds of one wait in a signed 32-bit number.
_LONGEST_SECONDS = (2**31 - 1) / 1000

_FewSelector: type[selectors.BaseSelector] = getattr(
    selectors,
    "PollSelector",
    selectors.DefaultSelector,  # Windows has select(2) alone.
)


class SocketPoller:
    """Polls ZeroMQ sockets and descriptors of plain sockets. For one thread at a time.

    Send on a registered ZeroMQ socket by `send` only. Read it when `poll` has returned it; at other
    times read it empty, or call `poll_again`. Unregister it before it is closed.

    Args:
        few: whether there are few sockets: then the selector needs no descriptor of its own.
    """

    def __init__(self, *, few: bool = False) -> None:
        self._selector = _FewSelector() if few else selectors.DefaultSelector()
        self._descriptors: dict[zmq.Socket[bytes], int] = {}
        # Any operation on a socket may process the signal of a message: then its descriptor stays
        # silent, and ZMQ_EVENTS has to be checked.
        self._used: set[zmq.Socket[bytes]] = set()

    def register(self, sock: zmq.Socket[bytes] | int) -> None:
        """Poll a socket for input; a plain one also for its end."""
        fd = sock
        if not isinstance(sock, int):
            fd = self._descriptors[sock] = int(sock.getsockopt(_FD))
            self._used.add(sock)
        self._selector.register(fd, READ, sock)

    def modify(self, fd: int, events: int) -> None:
        """Poll a plain socket for `READ`, or ``READ | WRITE``."""
        self._selector.modify(fd, events, fd)

    def unregister(self, sock: zmq.Socket[bytes] | int) -> None:
        """Do not poll a socket any more."""
        fd = sock
        if not isinstance(sock, int):
            fd = self._descriptors.pop(sock)
            self._used.discard(sock)
        self._selector.unregister(fd)

    def send(self, sock: zmq.Socket[bytes], *frames: bytes, more: bool = False) -> None:
        """Send one message, or its beginning, on a registered socket, without blocking.

        Raises:
            zmq.Again: the socket is full; nothing of the message was sent.
        """
        self._used.add(sock)
        send_frames(sock, *frames, more=more)

    def poll_again(self, sock: zmq.Socket[bytes]) -> None:
        """Check a registered socket in the next `poll`, after a read that left messages."""
        self._used.add(sock)

    def poll(self, seconds: float) -> dict[zmq.Socket[bytes] | int, int]:
        """Wait for events, and return them by socket.

        A ZeroMQ socket may be returned with no message: read without blocking.

        Args:
            seconds: the timeout; infinite: no limit.
        """
        used = self._used = {sock for sock in self._used if int(sock.getsockopt(_EVENTS)) & _POLLIN}
        timeout: float | None = 0.0
        if not used:
            timeout = None if seconds == math.inf else min(seconds, _LONGEST_SECONDS)
        ready: dict[zmq.Socket[bytes] | int, int] = dict.fromkeys(used, READ)
        for key, events in self._selector.select(timeout):
            ready[key.data] = events
            if key.data in self._descriptors:  # The caller reads it now.
                used.add(key.data)
        return ready

    def close(self) -> None:
        """Close the selector."""
        self._selector.close()
