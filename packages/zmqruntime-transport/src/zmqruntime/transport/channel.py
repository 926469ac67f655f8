"""One control connection, and the truth about it: an answer, silence, or its end.

A DEALER that sends an empty delimiter looks like a REQ socket to the server, and may have
more than one request under way. A monitor beside it reports at once when the connection
ends or is refused, so nobody waits for an answer that cannot come.
"""

from __future__ import annotations

import contextlib
from enum import Enum
from typing import Final

import zmq

from zmqruntime.transport.binding import configure_tcp, read_event, watch
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.frames import drain
from zmqruntime.transport.socket_poller import SocketPoller

__all__ = ["SILENCES", "Channel", "Outcome"]

_EVENTS = (
    zmq.Event.CONNECTED
    | zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.DISCONNECTED
    | zmq.Event.CLOSED
)

_RECONNECT_MS = 5
# libzmq's own word for never is -1, which also throws away a last reply that was not read yet.
_NEVER_MS = 2**31 - 1


class Outcome(Enum):
    """Why a channel has no answer, in words that follow a colon."""

    SILENCE = "it did not answer in time"
    UNGREETED = "no ZeroMQ peer greeted from there in time"
    REFUSED = "nobody listens there"
    LOST = "the connection ended"
    DROPPED = "whoever listens there ended the connection without a greeting of ZeroMQ"
    FOREIGN = "whoever listens there does not speak ZMTP"


SILENCES: Final = frozenset({Outcome.SILENCE, Outcome.UNGREETED})
"""The outcomes by which the connection has not ended."""


class Channel:
    """One connection to a server's control socket. For one thread at a time.

    Args:
        patient: keep trying to connect when nobody listens yet, as libzmq does by itself.

    Raises:
        EndpointError: the address is none.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: Endpoint,
        config: ZMQConfig,
        *,
        patient: bool = False,
    ) -> None:
        self.patient = patient
        self.user: int | None = None
        """The thread that is inside; None when nobody is."""
        self._silence = Outcome.UNGREETED
        self._end: Outcome | None = None
        self._poller = SocketPoller()
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
        self._socket.reconnect_ivl = _RECONNECT_MS if self.patient else _NEVER_MS
        configure_tcp(self._socket, endpoint)
        self._monitor = context.socket(zmq.PAIR)
        watch(self._socket, self._monitor, _EVENTS)
        self._poller.register(self._socket)
        self._poller.register(self._monitor)
        try:
            self._socket.connect(endpoint.control_address)
        except zmq.ZMQError as error:
            raise EndpointError(
                f"{endpoint.control_address} cannot be connected to: {error}"
            ) from None

    def send(self, frame: bytes) -> None:
        """Send one request; it waits in the socket until there is a connection."""
        try:
            self._poller.send(self._socket, b"", frame)
        except zmq.Again:
            return  # There is none, and none to come: `receive` tells why.

    def receive(self, deadline: Deadline) -> bytes | Outcome:
        """Return the next reply, or why there is none by ``deadline``."""
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
                if outcome is Outcome.REFUSED:
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
                self._silence = Outcome.REFUSED
                return Outcome.REFUSED
            case zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
                return Outcome.FOREIGN
            case _:
                return Outcome.LOST if self._silence is Outcome.SILENCE else Outcome.DROPPED
        return None
