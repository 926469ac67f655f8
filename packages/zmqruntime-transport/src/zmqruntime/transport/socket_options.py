"""Socket options that both sides of a connection set alike."""

from __future__ import annotations

import zmq

from zmqruntime.transport.config import TransportMode
from zmqruntime.transport.endpoint import Endpoint

__all__ = ["configure_tcp"]

_HEARTBEAT_MS = 5000


def configure_tcp(sock: zmq.Socket[bytes], endpoint: Endpoint) -> None:
    """Let a TCP socket notice a peer that is gone without a word (ZMTP heartbeats)."""
    if endpoint.transport_mode is TransportMode.TCP:
        sock.ipv6 = endpoint.is_ipv6
        sock.heartbeat_ivl = _HEARTBEAT_MS
        sock.heartbeat_timeout = 3 * _HEARTBEAT_MS
