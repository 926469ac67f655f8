"""Ends a connection that libzmq has accepted: libzmq has no call for that."""

from __future__ import annotations

import socket

__all__ = ["end_accepted"]


def end_accepted(descriptor: int, local: int | str) -> bool:
    """Shut an accepted connection down, for libzmq to close it.

    The descriptor may belong to another file by now, so the local address is compared. At worst,
    another connection of the same socket ends, and its peer reconnects.

    Args:
        descriptor: the connection's.
        local: the TCP port of its bound socket, or the path of the socket file.

    Returns:
        whether it was shut down; False: it has ended, or the descriptor belongs to another file.
    """
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        return False
    try:
        if not _is_bound_to(connection, local):
            return False
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # The peer has closed it.
        return False
    finally:
        connection.detach()  # libzmq closes it.
    return True


def _is_bound_to(connection: socket.socket, local: int | str) -> bool:
    # The type depends on the family: '' for an unbound Unix socket, bytes for an abstract one, a
    # tuple of another length or meaning for others.
    name: object = connection.getsockname()
    if isinstance(local, str):
        return name == local
    is_internet = connection.family in (socket.AF_INET, socket.AF_INET6)
    return is_internet and isinstance(name, tuple) and name[1] == local
