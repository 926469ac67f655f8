"""Ends a connection that libzmq has accepted, for which libzmq itself has no call."""

from __future__ import annotations

import socket

__all__ = ["end_accepted"]


def end_accepted(descriptor: int, local: int | str) -> bool:
    """Shut an accepted connection down; libzmq sees its end, and closes it.

    The descriptor may be another file's meanwhile, so the address that the connection was accepted
    at is compared. At worst, another connection of the same socket ends, and its peer connects
    again.

    Args:
        descriptor: the connection's.
        local: the TCP port that it was accepted at, or the path of the socket file.

    Returns:
        whether it was shut down; False: it has ended, or the descriptor is another file's.
    """
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        return False
    try:
        if not _is_at(connection, local):
            return False
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # The peer has ended it.
        return False
    finally:
        connection.detach()  # It is libzmq's to close.
    return True


def _is_at(connection: socket.socket, local: int | str) -> bool:
    # What a name is depends on the family: '' for a Unix socket that is not bound, bytes for an
    # abstract one, a tuple of another length or meaning for others.
    name: object = connection.getsockname()
    if isinstance(local, str):
        return name == local
    is_internet = connection.family in (socket.AF_INET, socket.AF_INET6)
    return is_internet and isinstance(name, tuple) and name[1] == local
