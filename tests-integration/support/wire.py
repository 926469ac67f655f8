"""Bare sockets, for messages that no client of this project sends."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import zmq
from zmq.utils.monitor import parse_monitor_message

from zmqruntime.transport import Endpoint

__all__ = ["Wire"]

Socket = zmq.Socket[bytes]

_PATIENCE_MS = 60_000


class Wire:
    """A DEALER for a server's control socket and a SUB for its data socket."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[Socket] = []
        self.control = self.open(zmq.DEALER)
        self.monitor = self.control.get_monitor_socket(zmq.Event.DISCONNECTED)
        self.monitor.rcvtimeo = _PATIENCE_MS
        self.data = self.open(zmq.SUB)
        self.control.connect(endpoint.control_address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.control.disable_monitor()
        self.monitor.close(linger=0)
        for sock in self._sockets:
            sock.close()
        self.context.term()

    def open(self, kind: int, address: str | None = None, identity: bytes = b"") -> Socket:
        """Return a socket that is closed with this object, with a linger period of 1 s."""
        sock = self.context.socket(kind)
        self._sockets.append(sock)
        sock.linger = 1000
        sock.rcvtimeo = _PATIENCE_MS
        if identity:
            sock.routing_id = identity
        if address is not None:
            sock.connect(address)
        return sock

    def send(self, frame: bytes) -> None:
        self.control.send_multipart((b"", frame))

    def receive(self) -> dict[str, Any]:
        empty, frame = self.control.recv_multipart()
        assert empty == b""
        reply: dict[str, Any] = json.loads(frame)
        return reply

    def exchange(self, frame: bytes) -> dict[str, Any]:
        self.send(frame)
        return self.receive()

    def request(self, type: str, **fields: Any) -> dict[str, Any]:
        return self.exchange(json.dumps({"type": type, **fields}).encode())

    def subscribe(self, client_id: str) -> dict[str, Any]:
        """Subscribe and register."""
        self.data.subscribe(f"{client_id}/")
        self.data.connect(self.endpoint.data_address)
        return self.request("register_progress", client_id=client_id)

    def await_disconnect(self) -> None:
        """Wait until the server has dropped the control connection."""
        event = parse_monitor_message(self.monitor.recv_multipart())
        assert event["event"] == zmq.Event.DISCONNECTED
