"""Whether a host's name has an address, before libzmq is asked to connect to it.

libzmq looks names up by itself, tells nobody when one has no address, and cannot be closed
meanwhile.
"""

from __future__ import annotations

import socket
import threading

from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint, parse_address
from zmqruntime.transport.errors import ConnectionFailed, RequestTimeout

__all__ = ["look_up"]


def look_up(endpoint: Endpoint, deadline: Deadline) -> None:
    """Make sure that the host has an address; nothing to do where it is one, or this machine.

    Raises:
        ConnectionFailed: it has none.
        RequestTimeout: the system does not know by ``deadline``.
    """
    host = endpoint.host
    if endpoint.is_local or parse_address(host) is not None:
        return
    failures: list[Exception] = []

    def ask() -> None:
        try:
            socket.getaddrinfo(host, None, family=socket.AF_INET)  # As libzmq does for a name.
        except (OSError, UnicodeError) as error:
            failures.append(error)

    # In a thread, since the system's resolver knows no time limit.
    thread = threading.Thread(target=ask, name="zmqruntime-lookup", daemon=True)
    thread.start()
    thread.join(min(deadline.remaining, threading.TIMEOUT_MAX))
    if thread.is_alive():
        raise RequestTimeout(f"the address of host {host!r} was not found in time")
    if failures:
        raise ConnectionFailed(f"host {host!r} has no address that is known here: {failures[0]}")
