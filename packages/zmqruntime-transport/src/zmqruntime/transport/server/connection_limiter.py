"""Ends new connections before the process has no file left for them.

When there is none, libzmq tries to accept the same connection again and again: over TCP it keeps
a core busy, over ipc it ends the process. Nothing in libzmq bounds the number of connections, so
the newest ones are ended while some files are still free.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Final

import zmq

from zmqruntime.transport.loop import Loop
from zmqruntime.transport.monitor import read_event_value, watch
from zmqruntime.transport.process.file_limit import count_reserved, read_file_limit
from zmqruntime.transport.server.accepted_sockets import end_accepted

__all__ = ["ConnectionLimiter"]

_log = logging.getLogger("zmqruntime.server")

# Of new connections, in one round of the loop.
_MOST_EVENTS: Final = 100
_SILENT_SECONDS: Final = 60.0


class ConnectionLimiter:
    """Ends new connections while so few files are free that the server itself may need them.

    Args:
        context: the server's.
        loop: the server's.
        read_limit: returns how many files there may be; None: no limit.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        loop: Loop,
        *,
        read_limit: Callable[[], int | None] = read_file_limit,
    ) -> None:
        self._context = context
        self._loop = loop
        self._read_limit = read_limit
        self._watched: list[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]] = []
        self._refused = 0
        self._silent_until = float("-inf")

    def watch(self, sock: zmq.Socket[bytes], local: int | str) -> None:
        """Limit the connections of a bound socket.

        Args:
            sock: the socket; it gets a monitor, its only one.
            local: its TCP port, or the path of its socket file.
        """
        if self._read_limit() is None:
            return
        monitor = self._context.socket(zmq.PAIR)
        self._watched.append((sock, monitor))
        monitor.rcvhwm = 0  # Else libzmq's own thread waits for this one to read.
        watch(sock, monitor, zmq.Event.ACCEPTED)
        self._loop.add_reader(monitor, lambda: self._read(monitor, local))

    def close(self) -> None:
        """Watch nothing any more. Before the sockets are closed, and after the loop is."""
        for sock, monitor in self._watched:
            sock.disable_monitor()
            monitor.close(linger=0)
        self._watched.clear()

    def _read(self, monitor: zmq.Socket[bytes], local: int | str) -> None:
        for _ in range(_MOST_EVENTS):
            if (accepted := read_event_value(monitor)) is None:
                return
            limit = self._read_limit()
            if limit is None or _has_room(monitor, limit):
                continue
            self._refused += 1
            self._log_refusal(limit)
            end_accepted(accepted[1], local)

    def _log_refusal(self, limit: int) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _SILENT_SECONDS
            _log.warning(
                "refusing new connections, %d so far: nearly all of %d files are open; disconnect "
                "clients that are not needed, or raise the limit (ulimit -n)",
                self._refused,
                limit,
            )


def _has_room(monitor: zmq.Socket[bytes], limit: int) -> bool:
    """Whether more files are free than those that are reserved."""
    try:
        lowest_free = os.dup(int(monitor.getsockopt(zmq.FD)))
    except OSError:
        return False
    os.close(lowest_free)
    return lowest_free < limit - count_reserved(limit)
