"""Stream sockets between a server and its worker."""

from __future__ import annotations

import os
import select
import socket

__all__ = ["LinkAddress", "Readiness", "disable_nagle", "listen", "open_socket"]

LinkAddress = str | tuple[str, int]
"""The path of a Unix socket, or a TCP host and port."""


def open_socket(address: LinkAddress) -> socket.socket:
    """Return an unconnected stream socket of the family of an address."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def listen(address: LinkAddress) -> socket.socket:
    """Return a non-blocking socket that listens at an address."""
    listener = open_socket(address)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # On Windows a bound port can be bound again.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listener.bind(address)
        if isinstance(address, str):  # The umask decides the mode of the new file.
            os.chmod(address, 0o600)  # noqa: PTH101 - an address is text
        listener.listen()
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def disable_nagle(sock: socket.socket) -> None:
    """Disable Nagle's algorithm (TCP_NODELAY)."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Readiness:
    """Waits until one socket is readable or, with ``write``, writable."""

    def __init__(self, sock: socket.socket, *, write: bool = False) -> None:
        self._reads, self._writes = ([], [sock]) if write else ([sock], [])
        self._poll = None
        if hasattr(select, "poll"):  # Not on Windows.
            self._poll = select.poll()
            self._poll.register(sock, select.POLLOUT if write else select.POLLIN)

    def wait(self, seconds: float | None = None) -> bool:
        """Block until the socket is ready; return False at the timeout."""
        if self._poll is None:
            return any(select.select(self._reads, self._writes, [], seconds))
        return bool(self._poll.poll(None if seconds is None else seconds * 1000))
