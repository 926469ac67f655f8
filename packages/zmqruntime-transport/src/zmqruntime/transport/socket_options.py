"""Socket options that are the same on both sides of a connection."""

from __future__ import annotations

import zmq

from zmqruntime.transport.config import TransportMode
from zmqruntime.transport.endpoint import Endpoint

__all__ = ["configure_tcp"]

_HEARTBEAT_MS = 5000


def configure_tcp(sock: zmq.Socket[bytes], endpoint: Endpoint) -> None:
    """Enable ZMTP heartbeats on a TCP socket, which detect a peer that vanished, and IPv6."""
    if endpoint.transport_mode is TransportMode.TCP:
        sock.ipv6 = endpoint.is_ipv6
        sock.heartbeat_ivl = _HEARTBEAT_MS
        sock.heartbeat_timeout = 3 * _HEARTBEAT_MS
