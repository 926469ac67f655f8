"""Ends new connections before the process reaches its limit of open files.

At the limit libzmq retries to accept the same connection without a pause over TCP, and aborts the
process over ipc. libzmq does not bound the number of connections, so the newest are ended while
some files are still free.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Final

import zmq

from zmqruntime.transport.loop import Loop
from zmqruntime.transport.monitor import attach_monitor, read_event_value
from zmqruntime.transport.process.file_limit import count_reserved, read_file_limit
from zmqruntime.transport.server.accepted_sockets import end_accepted

__all__ = ["ConnectionLimiter"]

_log = logging.getLogger("zmqruntime.server")

# New connections in one round of the loop.
_MAX_EVENTS: Final = 100
_LOG_PAUSE_SECONDS: Final = 60.0


class ConnectionLimiter:
    """Ends new connections while only the reserved files are free.

    Args:
        context: the server's.
        loop: the server's.
        read_limit: returns the limit of open files; None: there is no limit.
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
        self._monitors: list[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]] = []
        self._refused = 0
        self._next_log_at = float("-inf")

    def watch(self, sock: zmq.Socket[bytes], local: int | str) -> None:
        """Limit the connections of a bound socket.

        Args:
            sock: the socket; it gets a monitor, its only one.
            local: its TCP port, or the path of its socket file.
        """
        if self._read_limit() is None:
            return
        monitor = self._context.socket(zmq.PAIR)
        self._monitors.append((sock, monitor))
        monitor.rcvhwm = 0  # A full queue would block libzmq's I/O thread.
        attach_monitor(sock, monitor, zmq.Event.ACCEPTED)
        self._loop.add_reader(monitor, lambda: self._read(monitor, local))

    def close(self) -> None:
        """Close the monitors: before the sockets, and after the loop."""
        for sock, monitor in self._monitors:
            sock.disable_monitor()
            monitor.close(linger=0)
        self._monitors.clear()

    def _read(self, monitor: zmq.Socket[bytes], local: int | str) -> None:
        for _ in range(_MAX_EVENTS):
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
        if now >= self._next_log_at:
            self._next_log_at = now + _LOG_PAUSE_SECONDS
            _log.warning(
                "refusing new connections, %d so far: nearly all of %d files are open; disconnect "
                "clients that are not needed, or raise the limit (ulimit -n)",
                self._refused,
                limit,
            )


def _has_room(monitor: zmq.Socket[bytes], limit: int) -> bool:
    """Whether files beyond the reserved ones are free."""
    try:
        lowest_free = os.dup(int(monitor.getsockopt(zmq.FD)))
    except OSError:
        return False
    os.close(lowest_free)
    return lowest_free < limit - count_reserved(limit)
