"""One control connection: a DEALER socket, and a monitor that reports when it is closed.

A DEALER that sends an empty delimiter looks like a REQ socket to the server, and may have more
than one request pending. The monitor reports a refused or closed connection immediately, so no
wait lasts until its timeout for a reply that cannot come.
"""

from __future__ import annotations

import contextlib

import zmq

from zmqruntime.transport.client.outcome import Outcome, ReconnectInterval
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.monitor import attach_monitor, read_event
from zmqruntime.transport.multipart import drain
from zmqruntime.transport.process.ipc_files import has_listener
from zmqruntime.transport.socket_options import configure_tcp
from zmqruntime.transport.socket_poller import SocketPoller

__all__ = ["Channel"]

_EVENTS = (
    zmq.Event.CONNECTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.DISCONNECTED
    | zmq.Event.CLOSED
)

# The longest time between two attempts to connect to a busy server.
_BUSY_MAX_MS = 500


class Channel:
    """One connection to a server's control socket. For one thread at a time.

    Args:
        interval: when to reconnect after a refused connection.

    Raises:
        EndpointError: the address is invalid.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: Endpoint,
        config: ZMQConfig,
        *,
        interval: ReconnectInterval = ReconnectInterval.NEVER,
    ) -> None:
        self._interval = interval
        # A full backlog shows on a socket file (EAGAIN); over TCP, as silence.
        self._path = endpoint.control_path if _is_ipc(endpoint) else None
        self.thread: int | None = None
        """The thread that uses it; None while it is idle or suspended."""
        self._silence = Outcome.UNGREETED
        self._end: Outcome | None = None
        self._poller = SocketPoller(few=True)  # One for each call that waits.
        self._socket = context.socket(zmq.DEALER)
        self._monitor: zmq.Socket[bytes] | None = None
        try:
            self._open(context, endpoint)
        except BaseException:  # KeyboardInterrupt, too: an open socket blocks the context's end.
            self.close()
            raise

    def _open(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint) -> None:
        self._socket.linger = 0
        self._socket.maxmsgsize = -1  # The server is trusted.
        self._socket.sndhwm = 0  # No limit to the requests that are sent without a round trip.
        self._socket.reconnect_ivl = self._interval
        if self._interval is ReconnectInterval.SLOW:
            self._socket.reconnect_ivl_max = _BUSY_MAX_MS
        configure_tcp(self._socket, endpoint)
        self._monitor = context.socket(zmq.PAIR)
        attach_monitor(self._socket, self._monitor, _EVENTS)
        self._poller.register(self._socket)
        self._poller.register(self._monitor)
        try:
            self._socket.connect(endpoint.control_address)
        except zmq.ZMQError as error:
            raise EndpointError(f"cannot connect to {endpoint.control_address}: {error}") from None

    def reconnects_after(self, outcome: Outcome) -> bool:
        """Whether the socket is reconnecting after this outcome, at the interval that suits it."""
        if outcome is Outcome.BUSY:
            return self._interval is ReconnectInterval.SLOW
        return outcome is Outcome.REFUSED and self._interval is not ReconnectInterval.NEVER

    def send(self, frame: bytes) -> None:
        """Send one request; the socket queues it until there is a connection."""
        try:
            self._poller.send(self._socket, b"", frame)
        except zmq.Again:
            return  # No connection, and no reconnect: `receive` returns the reason.

    def receive(self, deadline: Deadline) -> bytes | Outcome:
        """Return the next reply, or the reason why none came by ``deadline``.

        Raises:
            EndpointError: the file at the server's path is not a socket, or cannot be opened.
        """
        replies = self.receive_many(deadline, 1)
        return replies if isinstance(replies, Outcome) else replies[0]

    def receive_many(self, deadline: Deadline, limit: int) -> list[bytes] | Outcome:
        """Return the replies that have arrived, up to ``limit``, as soon as there is one."""
        while True:
            seconds = 0.0 if self._end else deadline.remaining
            ready = self._poller.poll(seconds)
            if self._socket in ready:
                frames = [frames[-1] for frames in drain(self._socket, limit)]
                if frames:
                    return frames
            if self._end:
                return self._end
            if not ready:
                return self._silence
            if self._monitor in ready and (outcome := self._read_monitor()) is not None:
                if outcome in (Outcome.REFUSED, Outcome.BUSY):
                    return outcome
                # Replies may have come between the reads of the two sockets: drain once more.
                self._end = outcome

    def close(self) -> None:
        """Close the connection, and drop what is pending on it. Idempotent."""
        if self._socket.closed:
            return
        self._poller.close()
        with contextlib.suppress(zmq.ContextTerminated):  # Then the monitor is closed, too.
            self._socket.disable_monitor()
        if self._monitor is not None:
            self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _read_monitor(self) -> Outcome | None:
        assert self._monitor is not None
        event = read_event(self._monitor)
        match event:
            case None:
                pass
            case zmq.Event.CONNECTED:
                self._silence = Outcome.UNGREETED
            case zmq.Event.HANDSHAKE_SUCCEEDED:
                self._silence = Outcome.SILENCE
            case zmq.Event.CLOSED:
                # The event has no reason; the socket file shows it.
                is_busy = self._path is not None and has_listener(self._path)
                self._silence = Outcome.BUSY if is_busy else Outcome.REFUSED
                return self._silence
            case zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
                return Outcome.FOREIGN
            case _:
                return Outcome.LOST if self._silence is Outcome.SILENCE else Outcome.DROPPED
        return None


def _is_ipc(endpoint: Endpoint) -> bool:
    return endpoint.transport_mode is TransportMode.IPC
