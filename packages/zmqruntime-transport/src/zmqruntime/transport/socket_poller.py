"""Waiting for ZeroMQ sockets and plain ones together, at a few system calls for each wait.

``zmq_poll`` looks at every ZeroMQ socket before it blocks and again behind that, by two system
calls each. Here the system's own selector waits for their descriptors, and they are looked at
once. https://libzmq.readthedocs.io/en/latest/zmq_getsockopt.html (ZMQ_FD)
"""

from __future__ import annotations

import math
import selectors

import zmq

__all__ = ["READ", "WRITE", "SocketPoller"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

# Plain integers: pyzmq's own flags are slow to work with.
_FD, _EVENTS, _POLLIN = int(zmq.FD), int(zmq.EVENTS), int(zmq.POLLIN)
# The longest that one wait may take: systems count milliseconds in a signed 32-bit number.
_LONGEST_SECONDS = (2**31 - 1) / 1000


class SocketPoller:
    """Watches ZeroMQ sockets and descriptors of plain sockets. For one thread at a time.

    Whoever closes a socket that is watched unregisters it before.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._descriptors: dict[zmq.Socket[bytes], int] = {}

    def register(self, sock: zmq.Socket[bytes] | int) -> None:
        """Watch a socket for what there is to read; of a plain one, its end counts, too."""
        fd = sock
        if not isinstance(sock, int):
            fd = self._descriptors[sock] = int(sock.getsockopt(_FD))
        self._selector.register(fd, READ, sock)

    def modify(self, fd: int, events: int) -> None:
        """Watch a plain socket for something else: `READ`, or ``READ | WRITE``."""
        self._selector.modify(fd, events, fd)

    def unregister(self, sock: zmq.Socket[bytes] | int) -> None:
        """Watch a socket no more."""
        self._selector.unregister(sock if isinstance(sock, int) else self._descriptors.pop(sock))

    def poll(self, seconds: float) -> list[tuple[zmq.Socket[bytes] | int, int]]:
        """Wait until there is something to do, and return where, and what.

        A ZeroMQ socket may have nothing to read after all: read without blocking.

        Args:
            seconds: how long to wait; infinite for no limit.
        """
        # Whatever was done with a socket since the last time may have taken note of a message,
        # so that its descriptor does not tell of it any more.
        ready: list[tuple[zmq.Socket[bytes] | int, int]] = [
            (sock, READ) for sock in self._descriptors if int(sock.getsockopt(_EVENTS)) & _POLLIN
        ]
        if ready:
            found = self._selector.select(0)
            return ready + [(k.data, events) for k, events in found if isinstance(k.data, int)]
        timeout = None if seconds == math.inf else min(seconds, _LONGEST_SECONDS)
        return [(key.data, events) for key, events in self._selector.select(timeout)]

    def close(self) -> None:
        """Give back what the system has for it."""
        self._selector.close()
