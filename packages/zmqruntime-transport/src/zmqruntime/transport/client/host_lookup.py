"""Resolves the name of a server's host before libzmq connects to it.

libzmq resolves names itself, reports no failure, and blocks its context's end meanwhile.
"""

from __future__ import annotations

import socket

from zmqruntime.transport.client.close_signal import CloseSignal
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint, parse_address
from zmqruntime.transport.errors import ConnectionFailed, RequestTimeout

__all__ = ["resolve_host"]


def resolve_host(endpoint: Endpoint, deadline: Deadline, closed: CloseSignal) -> None:
    """Check that the host has an address; returns immediately for an address or this machine.

    Raises:
        ConnectionFailed: the host has no address.
        RequestTimeout: the system's resolver has not replied by ``deadline``.
        NotConnected: the client was closed meanwhile.
    """
    host = endpoint.host
    if endpoint.is_local or parse_address(host) is not None:
        return
    failures: list[Exception] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, None, family=socket.AF_INET)  # As libzmq does for a name.
        except (OSError, UnicodeError) as error:
            failures.append(error)

    if not closed.wait_for(resolve, deadline, "zmqruntime-lookup"):
        raise RequestTimeout(f"host {host!r} was not resolved in time")
    if failures:
        raise ConnectionFailed(f"host {host!r} cannot be resolved: {failures[0]}")
