"""The four sockets that forward messages between clients and a server."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Callable

import zmq

from zmqruntime.testing.endpoint import candidate_ports
from zmqruntime.testing.faults.rules import Lane
from zmqruntime.transport import AddressInUse, Endpoint, Loop, TransportMode
from zmqruntime.transport.lowlevel import drain

__all__ = ["Relay", "open_relay"]

_BATCH = 64

_OnMessage = Callable[["Relay", Lane, list[bytes]], None]


class Relay:
    """Connects the clients of one endpoint with the server at another.

    Args:
        front: the endpoint for clients.
        back: the endpoint of the server.

    Raises:
        AddressInUse: the front endpoint is in use.
    """

    def __init__(self, front: Endpoint, back: Endpoint) -> None:
        # A context of its own: destroying it guarantees that the addresses are released.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._front = front
        self._paths = []
        if front.transport_mode is TransportMode.IPC:
            self._paths = [front.data_path, front.control_path]
        try:
            self._clients = self._open(zmq.ROUTER)
            self._server = self._open(zmq.DEALER)
            self._subscribers = self._open(zmq.XPUB)
            self._publisher = self._open(zmq.XSUB)
            # Pass on duplicate subscriptions and unsubscriptions: the server counts them.
            self._subscribers.xpub_verboser = True
            self._server.connect(back.control_address)
            self._publisher.connect(back.data_address)
            self._bind(self._subscribers, front.data_address)
            self._bind(self._clients, front.control_address)
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def watch(self, loop: Loop, on_message: _OnMessage) -> None:
        """Call ``on_message`` with each message, in the loop's thread."""
        for sock, lane in self._sources().items():
            loop.add_reader(sock, self._reader(sock, lane, on_message))

    def send(self, loop: Loop, lane: Lane, frames: tuple[bytes, ...]) -> None:
        """Forward a message in the direction of its lane."""
        destinations = {
            Lane.REQUESTS: self._server,
            Lane.REPLIES: self._clients,
            Lane.EVENTS: self._subscribers,
            Lane.SUBSCRIPTIONS: self._publisher,
        }
        loop.send(destinations[lane], *frames)

    def close(self, loop: Loop) -> None:
        """Close every connection, and drop the messages in transit."""
        for sock in self._sources():
            loop.remove_reader(sock)
        self._context.destroy(linger=0)
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _sources(self) -> dict[zmq.Socket[bytes], Lane]:
        return {
            self._clients: Lane.REQUESTS,
            self._server: Lane.REPLIES,
            self._publisher: Lane.EVENTS,
            self._subscribers: Lane.SUBSCRIPTIONS,
        }

    def _reader(
        self, sock: zmq.Socket[bytes], lane: Lane, on_message: _OnMessage
    ) -> Callable[[], None]:
        def read() -> None:
            for frames in drain(sock, _BATCH):
                on_message(self, lane, frames)
                if sock.closed:  # A rule has cut the connections.
                    return

        return read

    def _open(self, kind: int) -> zmq.Socket[bytes]:
        sock = self._context.socket(kind)
        sock.linger = 0
        sock.sndhwm = sock.rcvhwm = 0  # Unlimited: only rules drop messages.
        sock.ipv6 = self._front.is_ipv6
        return sock

    def _bind(self, sock: zmq.Socket[bytes], address: str) -> None:
        # libzmq unlinks an existing ipc path on bind, even if another process listens on it.
        if any(address == f"ipc://{path}" and path.exists() for path in self._paths):
            raise AddressInUse(f"cannot bind {address}: the address is in use")
        try:
            sock.bind(address)
        except zmq.ZMQError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(f"cannot bind {address}: the address is in use") from None
            raise


def open_relay(back: Endpoint) -> tuple[Endpoint, Relay]:
    """Return a free endpoint on the server's host, and a relay that is bound to it."""
    for port in candidate_ports():
        front = dataclasses.replace(back, port=port)
        try:
            return front, Relay(front, back)
        except AddressInUse as error:
            in_use = error
    raise in_use
