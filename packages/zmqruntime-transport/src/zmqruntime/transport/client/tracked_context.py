"""A ZeroMQ context whose end blocks neither on a forgotten socket nor the calling thread.

``zmq_ctx_term`` waits for every socket of the context. A socket that an interrupt (Ctrl-C)
orphaned, between its opening and the assignment of it, would make that wait endless.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import zmq

__all__ = ["TrackedContext"]


class TrackedContext(zmq.Context[zmq.Socket[bytes]]):
    """The context of one client. Its sockets are closed by the threads that use them, as usual."""

    def __init__(self) -> None:
        super().__init__()
        # Else 1,023, of which a call that waits needs three (ZMQ_MAX_SOCKETS).
        self.set(zmq.MAX_SOCKETS, self.get(zmq.SOCKET_LIMIT))
        # In __dict__, since pyzmq takes other attributes for options of the context.
        self.__dict__["opened"] = weakref.WeakSet[zmq.Socket[bytes]]()
        self.__dict__["ending"] = None
        self.__dict__["lock"] = threading.RLock()

    def socket(self, *args: Any, **options: Any) -> zmq.Socket[bytes]:
        """Open a socket, as `zmq.Context.socket` does."""
        opened: zmq.Socket[bytes] = super().socket(*args, **options)
        self.__dict__["opened"].add(opened)
        return opened

    def close_sockets(self) -> None:
        """Close every open socket.

        For when no thread uses one any more: the context ended so long ago that each has woken.
        """
        for opened in list(self.__dict__["opened"]):
            opened.close(linger=0)

    def start_end(self) -> threading.Thread:
        """Begin to terminate the context, which wakes the threads that use a socket of it.

        Returns the thread in which it terminates: in the calling one, Ctrl-C could not interrupt
        the wait for a socket that an interrupt left open. Idempotent.
        """
        with self.__dict__["lock"]:
            ending: threading.Thread | None = self.__dict__["ending"]
            if ending is None:
                ending = self.__dict__["ending"] = threading.Thread(
                    target=self.term, name="zmqruntime-term", daemon=True
                )
            if ending.ident is None:  # New, or its start was interrupted.
                ending.start()
            return ending

    def end(self, patience: float) -> None:
        """Terminate the context; close the sockets that are still open after ``patience``."""
        ending = self.start_end()
        ending.join(patience)
        if ending.is_alive():
            self.close_sockets()
            # A socket that an interrupt caught in its constructor is held by that traceback alone;
            # when the traceback is freed, the thread ends.
            ending.join(patience)
