"""One connection to a server, ready or not, that is kept until the server has ended.

`ZMQClient` waits until a server is ready; a person wants to look at one that is not, and to
end it.
"""

from __future__ import annotations

import threading
from typing import Self, TypeVar

import zmq
from zmq.utils.monitor import parse_monitor_message

from zmqruntime.messages import (
    ErrorReply,
    MessageError,
    ProcessInfo,
    Reply,
    Request,
    decode_reply,
    encode,
)
from zmqruntime.transport import (
    ConnectionFailed,
    Deadline,
    Endpoint,
    ProcessIdentity,
    RequestTimeout,
    TransportError,
)

__all__ = ["ServerLink"]

_R = TypeVar("_R", bound=Reply)

_ENDS = (
    zmq.Event.CLOSED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
)

_HEARTBEAT_MS = 5000
# Nobody there is an answer, too. The value that says never, -1, has libzmq drop replies that
# have arrived when the connection ends: the acknowledgement of a shutdown, half of the time.
_NEVER = 2**31 - 1


class ServerLink:
    """A connection to the control socket of the server on ``endpoint``. For one thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.linger = 0
        self._socket.ipv6 = endpoint.is_ipv6
        self._socket.reconnect_ivl = _NEVER
        self._socket.heartbeat_ivl = _HEARTBEAT_MS
        self._monitor = self._socket.get_monitor_socket(_ENDS | zmq.Event.HANDSHAKE_SUCCEEDED)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._greeted = False

    def __enter__(self) -> Self:
        try:
            self._socket.connect(self._endpoint.control_address)
        except zmq.ZMQError as error:
            self.__exit__()
            raise ConnectionFailed(f"{self._endpoint} cannot be connected to: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close()
        self._context.term()

    def ask(self, request: Request, expected: type[_R], timeout: float) -> _R:
        """Return the server's answer.

        Raises:
            ConnectionFailed: nobody listens, or not a server of this protocol.
            RequestTimeout: no answer within ``timeout`` seconds.
            TransportError: the server refused.
        """
        try:
            self._socket.send(encode(request), zmq.NOBLOCK)
        except zmq.Again:
            raise self._failure() from None
        try:
            reply = decode_reply(self._receive(Deadline.after(timeout), timeout))
        except MessageError as error:
            raise ConnectionFailed(
                f"who listens on {self._endpoint} is no server: {error}"
            ) from error
        if isinstance(reply, expected):
            return reply
        reason = reply.message if isinstance(reply, ErrorReply) else f"it said {reply.type}"
        raise TransportError(f"the server refused a {request.type} request: {reason}")

    def wait_for_end(self, process: ProcessInfo, deadline: Deadline) -> bool:
        """Wait until the server has closed its sockets and, if it is here, its process is gone."""
        while not self._ended(deadline):
            if deadline.expired:
                return False
        if not self._endpoint.is_local:
            return True
        identity = ProcessIdentity(process.pid, process.create_time)
        waiter = threading.Thread(target=identity.wait, name="zmqruntime-end", daemon=True)
        waiter.start()
        waiter.join(None if deadline.at == float("inf") else deadline.remaining)
        return not waiter.is_alive()

    def _receive(self, deadline: Deadline, timeout: float) -> bytes:
        while True:
            ready = dict(self._poller.poll(deadline.poll_ms))
            if self._socket in ready:
                return self._socket.recv()
            if not ready:
                raise RequestTimeout(f"no answer from {self._endpoint} within {timeout:g} s")
            if self._ended(deadline):
                # Its last words may have come between the looks at the two sockets.
                try:
                    return self._socket.recv(zmq.NOBLOCK)
                except zmq.Again:
                    raise self._failure() from None

    def _ended(self, deadline: Deadline) -> bool:
        """Take one event of the connection, if there is any in time; tell whether it ended."""
        if not self._monitor.poll(deadline.poll_ms):
            return False
        event = parse_monitor_message(self._monitor.recv_multipart())["event"]
        if event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._greeted = True
            return False
        return True

    def _failure(self) -> ConnectionFailed:
        if self._greeted:
            return ConnectionFailed(f"the server on {self._endpoint} ended the connection")
        return ConnectionFailed(f"no server listens on {self._endpoint}")
