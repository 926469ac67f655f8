"""One control connection, and the truth about it: an answer, silence, or its end.

A DEALER that sends an empty delimiter looks like a REQ socket to the server, and may have
more than one request under way. A monitor beside it reports at once when the connection
ends or is refused, so nobody waits for an answer that cannot come.
"""

from __future__ import annotations

from enum import Enum

import zmq
from zmq.utils.monitor import parse_monitor_message

from zmqruntime.transport.binding import configure_tcp
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint

__all__ = ["Channel", "Outcome"]

_ENDS = zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
_FOREIGN = zmq.Event.HANDSHAKE_FAILED_PROTOCOL
_REFUSALS = zmq.Event.CLOSED
_ARRIVALS = zmq.Event.HANDSHAKE_SUCCEEDED

_RECONNECT_MS = 20
_NEVER = -1


class Outcome(Enum):
    """Why a channel has no answer."""

    SILENCE = "the time is up"
    REFUSED = "nobody listens there"
    LOST = "the connection ended"
    FOREIGN = "whoever listens there does not speak ZMTP"


class Channel:
    """One connection to a server's control socket. For one thread at a time.

    Args:
        patient: keep trying to connect when nobody listens yet, as libzmq does by itself.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: Endpoint,
        config: ZMQConfig,
        *,
        patient: bool = False,
    ) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.maxmsgsize = -1  # The server is trusted; its pong says what it sends.
        self._socket.reconnect_ivl = _RECONNECT_MS if patient else _NEVER
        configure_tcp(self._socket, endpoint)
        self._monitor = self._socket.get_monitor_socket(_ENDS | _FOREIGN | _REFUSALS | _ARRIVALS)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._connected = False
        self.patient = patient
        self._socket.connect(endpoint.control_address)

    def send(self, frame: bytes) -> None:
        """Send one request; it waits in the socket until there is a connection."""
        self._socket.send_multipart((b"", frame))

    def receive(self, deadline: Deadline) -> bytes | Outcome:
        """Return the next reply, or why there is none by ``deadline``."""
        while True:
            if self._socket in (ready := self._poll(deadline)):
                return self._socket.recv_multipart()[-1]
            if not ready:
                return Outcome.SILENCE
            if outcome := self._read_monitor():
                return outcome

    def close(self) -> None:
        """Drop the connection and whatever is under way on it."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close()

    def _poll(self, deadline: Deadline) -> dict[object, int]:
        remaining = deadline.remaining
        timeout = None if remaining == float("inf") else round(remaining * 1000 + 0.5)
        return dict(self._poller.poll(timeout))

    def _read_monitor(self) -> Outcome | None:
        event = parse_monitor_message(self._monitor.recv_multipart())["event"]
        if event == _ARRIVALS:
            self._connected = True
            return None
        if event == _FOREIGN:
            return Outcome.FOREIGN
        if event == _REFUSALS:
            # After DISCONNECTED a CLOSED follows; that is the same end told twice.
            return None if self._connected else Outcome.REFUSED
        return Outcome.LOST
