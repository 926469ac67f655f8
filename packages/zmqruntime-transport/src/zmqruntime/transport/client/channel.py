"""One control connection, and the truth about it: an answer, silence, or its end.

A DEALER that sends an empty delimiter looks like a REQ socket to the server, and may have
more than one request under way. A monitor beside it reports at once when the connection
ends or is refused, so nobody waits for an answer that cannot come.
"""

from __future__ import annotations

import contextlib
from enum import Enum, IntEnum
from typing import Final

import zmq

from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.monitor import attach_monitor, read_event
from zmqruntime.transport.multipart import drain
from zmqruntime.transport.process.ipc_files import has_listener
from zmqruntime.transport.socket_options import configure_tcp
from zmqruntime.transport.socket_poller import SocketPoller

__all__ = ["SILENCES", "STILL_THERE", "Channel", "Outcome", "Pace"]

_EVENTS = (
    zmq.Event.CONNECTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.DISCONNECTED
    | zmq.Event.CLOSED
)

# Between two attempts to connect to a busy server, at most; each takes its time, too.
_BUSY_MAX_MS = 500


class Pace(IntEnum):
    """How soon libzmq tries to connect again, in milliseconds (ZMQ_RECONNECT_IVL)."""

    # libzmq's own word for never is -1, which also throws away a last reply that was not read yet.
    NEVER = 2**31 - 1
    QUICK = 5
    """While no server listens: it may be starting."""
    SLOW = 50
    """While a server is too busy to accept; doubled by each failure, up to 500."""


class Outcome(Enum):
    """Why a channel has no answer, in words that follow a colon."""

    SILENCE = "it did not answer in time"
    # A server completes the handshake in its loop, so a busy one is not told from something else.
    UNGREETED = (
        "it did not answer in time (no ZeroMQ peer greeted from there in time: the server is busy, "
        "or something else listens there)"
    )
    REFUSED = "nobody listens there"
    BUSY = (
        "a server listens there, but its queue of new connections is full, because it is busy or "
        "paused: try again, or allow more time"
    )
    LOST = "the connection ended"
    DROPPED = "whoever listens there ended the connection without a greeting of ZeroMQ"
    FOREIGN = "whoever listens there does not speak ZMTP"


SILENCES: Final = frozenset({Outcome.SILENCE, Outcome.UNGREETED})
"""The outcomes by which the connection has not ended."""

STILL_THERE: Final = SILENCES | {Outcome.BUSY}
"""The outcomes after which the server may answer yet."""


class Channel:
    """One connection to a server's control socket. For one thread at a time.

    Args:
        pace: how soon to try again when the connection is refused.

    Raises:
        EndpointError: the address is none.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: Endpoint,
        config: ZMQConfig,
        *,
        pace: Pace = Pace.NEVER,
    ) -> None:
        self._pace = pace
        # A full queue of connections shows on a socket file (EAGAIN); over TCP, as silence.
        self._path = endpoint.control_path if _is_ipc(endpoint) else None
        self.user: int | None = None
        """The thread that is inside; None when nobody is."""
        self._silence = Outcome.UNGREETED
        self._end: Outcome | None = None
        self._poller = SocketPoller(few=True)  # There is one for each call that waits.
        self._socket = context.socket(zmq.DEALER)
        self._monitor: zmq.Socket[bytes] | None = None
        try:
            self._open(context, endpoint)
        except BaseException:  # A KeyboardInterrupt, too: what is left open blocks the context.
            self.close()
            raise

    def _open(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint) -> None:
        self._socket.linger = 0
        self._socket.maxmsgsize = -1  # The server is trusted; its pong says what it sends.
        self._socket.sndhwm = 0  # However many requests go out at once, none is held back.
        self._socket.reconnect_ivl = self._pace
        if self._pace is Pace.SLOW:
            self._socket.reconnect_ivl_max = _BUSY_MAX_MS
        configure_tcp(self._socket, endpoint)
        self._monitor = context.socket(zmq.PAIR)
        attach_monitor(self._socket, self._monitor, _EVENTS)
        self._poller.register(self._socket)
        self._poller.register(self._monitor)
        try:
            self._socket.connect(endpoint.control_address)
        except zmq.ZMQError as error:
            raise EndpointError(
                f"{endpoint.control_address} cannot be connected to: {error}"
            ) from None

    def retries_after(self, outcome: Outcome) -> bool:
        """Whether this connection is tried again by itself, at the pace that is right for that."""
        if outcome is Outcome.BUSY:
            return self._pace is Pace.SLOW
        return outcome is Outcome.REFUSED and self._pace is not Pace.NEVER

    def send(self, frame: bytes) -> None:
        """Send one request; it waits in the socket until there is a connection."""
        try:
            self._poller.send(self._socket, b"", frame)
        except zmq.Again:
            return  # There is none, and none to come: `receive` tells why.

    def receive(self, deadline: Deadline) -> bytes | Outcome:
        """Return the next reply, or why there is none by ``deadline``.

        Raises:
            EndpointError: what is at the server's path is no socket, or cannot be opened.
        """
        answer = self.receive_some(deadline, 1)
        return answer if isinstance(answer, Outcome) else answer[0]

    def receive_some(self, deadline: Deadline, most: int) -> list[bytes] | Outcome:
        """Return the replies that are at hand, up to so many, as soon as there is one."""
        while True:
            seconds = 0.0 if self._end else deadline.remaining
            ready = self._poller.poll(seconds)
            if self._socket in ready:
                frames = [frames[-1] for frames in drain(self._socket, most)]
                if frames:
                    return frames
            if self._end:
                return self._end
            if not ready:
                return self._silence
            if self._monitor in ready and (outcome := self._read_monitor()) is not None:
                if outcome in (Outcome.REFUSED, Outcome.BUSY):
                    return outcome
                # Not at once: replies may have come between the looks at the two sockets.
                self._end = outcome

    def close(self) -> None:
        """Drop the connection and whatever is under way on it. Any number of times."""
        if self._socket.closed:
            return
        self._poller.close()
        with contextlib.suppress(zmq.ContextTerminated):  # Then the monitor has ended, too.
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
                # The event does not say why; a look at the path does.
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
