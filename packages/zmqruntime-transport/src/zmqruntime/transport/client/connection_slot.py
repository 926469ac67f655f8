"""The connection of one client, which one thread opens and any other thread may close meanwhile."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import NamedTuple

from zmqruntime.transport.client.connection import Connection
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import NotConnected

__all__ = ["ConnectionSlot"]


class _Opening(NamedTuple):
    connection: Connection
    thread: int


class ConnectionSlot:
    """Holds the connection of a client from `open` until `close`. For any thread.

    Args:
        endpoint: the server's, for error messages.
        make_connection: makes a connection that is to be established.
    """

    def __init__(self, endpoint: Endpoint, make_connection: Callable[[], Connection]) -> None:
        self._endpoint = endpoint
        self._make_connection = make_connection
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._opening: _Opening | None = None
        self._closes = 0
        self._finalizer: weakref.finalize[..., object]

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, which this process opened."""
        return self._connection is not None and self._connection.is_here

    def get(self) -> Connection:
        """Return the connection.

        Raises:
            NotConnected: there is none, or it belongs to another process, of which this is a fork.
        """
        connection = self._connection
        if connection is None:
            raise NotConnected(
                f"the client of {self._endpoint} is not connected: call connect() first"
            )
        connection.check_process()
        return connection

    def open(self, owner: object, deadline: Deadline, *, wait_ready: bool) -> Connection:
        """Return the connection; establish it first where there is none.

        Args:
            owner: the client; when it is garbage-collected, the connection is abandoned.
            deadline: for all of it.
            wait_ready: whether to wait until a running server is ready.

        Raises:
            NotConnected: `close` was called meanwhile; further, as `Connection.establish`.
        """
        if (connection := self._connection) is None:
            closes = self._closes
            with self._lock:
                if closes != self._closes:
                    raise NotConnected(f"the client of {self._endpoint} was disconnected")
                if (connection := self._connection) is None:
                    connection = self._establish(owner, deadline, wait_ready=wait_ready)
        connection.check_process()
        return connection

    def close(self, before_close: Callable[[], None]) -> None:
        """Close the connection; a call of `open` in another thread raises NotConnected.

        In a fork, the connection is forgotten and nothing is closed.

        Args:
            before_close: called while requests are still possible.

        Raises:
            RuntimeError: called from a subscriber's callback; nothing was closed.
        """
        connection = self._connection or self._interrupt_open()
        if connection is None:
            return
        if not connection.is_here:
            # Closing its sockets would reach the peers of the process that opened them. The lock
            # may be held by a thread that does not exist here.
            self._connection, self._lock = None, threading.Lock()
            self._finalizer.detach()
            return
        connection.check_thread()
        self._closes += 1
        connection.closed.set()
        with self._lock:
            if self._connection is not connection:
                return  # Closed by another thread.
            try:
                before_close()
            finally:
                # Kept until it is closed: after an interrupt, the next call continues with it.
                connection.close()
                self._connection = None
                self._finalizer.detach()

    def _establish(self, owner: object, deadline: Deadline, *, wait_ready: bool) -> Connection:
        connection = self._make_connection()
        try:
            self._opening = _Opening(connection, threading.get_ident())
            connection.establish(deadline, wait_ready=wait_ready)
            # Collected without it, the context would wait for its sockets forever.
            self._finalizer = weakref.finalize(owner, connection.abandon)
            self._finalizer.atexit = False
            self._connection = connection
            if connection.closed.is_set:
                raise connection.closed.make_error()
        except BaseException:  # An interrupt, too, even after the last statement.
            self._connection = None
            if (finalizer := getattr(self, "_finalizer", None)) is not None:
                finalizer.detach()
            connection.discard()
            raise
        finally:
            self._opening = None
        return connection

    def _interrupt_open(self) -> Connection | None:
        """Interrupt an `open` of another thread; return its connection, which that thread closes.

        Unless it was established meanwhile: then it is to be closed here.
        """
        if (opening := self._opening) is None or not opening.connection.is_here:
            return None
        self._closes += 1
        opening.connection.interrupt()
        # The same thread is in a signal handler, or in the launcher: its `open` raises next.
        is_other = opening.thread != threading.get_ident()
        return opening.connection if is_other else None
