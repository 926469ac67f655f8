"""A ZeroMQ context that can close every socket that was opened in it.

``zmq_ctx_term`` waits for each socket of the context. One that an interrupt (Ctrl-C) has orphaned,
between its opening and the note of it, would make that wait endless.
"""

from __future__ import annotations

import weakref
from typing import Any

import zmq

__all__ = ["TrackedContext"]


class TrackedContext(zmq.Context[zmq.Socket[bytes]]):
    """A context of one client. Its sockets are closed by the threads that use them, as ever."""

    def __init__(self) -> None:
        super().__init__()
        # Else 1,023, of which a call that waits needs three (ZMQ_MAX_SOCKETS).
        self.set(zmq.MAX_SOCKETS, self.get(zmq.SOCKET_LIMIT))
        # Not as an attribute that pyzmq takes for an option of the context.
        self.__dict__["opened"] = weakref.WeakSet[zmq.Socket[bytes]]()

    def socket(self, *args: Any, **options: Any) -> zmq.Socket[bytes]:
        """Open a socket, as `zmq.Context.socket` does."""
        opened: zmq.Socket[bytes] = super().socket(*args, **options)
        self.__dict__["opened"].add(opened)
        return opened

    def close_sockets(self) -> None:
        """Close every socket that is open still.

        For when no thread can be inside one any more: the context has ended so long ago that each
        has woken up.
        """
        for opened in list(self.__dict__["opened"]):
            opened.close(linger=0)
