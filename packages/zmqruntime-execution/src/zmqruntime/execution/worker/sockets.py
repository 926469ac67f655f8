"""The plain sockets between a server and its worker: made, told to hurry, and waited for."""

from __future__ import annotations

import os
import select
import socket

__all__ = ["LinkAddress", "Readiness", "listen", "open_socket", "send_at_once"]

LinkAddress = str | tuple[str, int]
"""The path of a Unix socket, or a TCP host and port."""


def open_socket(address: LinkAddress) -> socket.socket:
    """Return a socket of the kind that an address is for."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def listen(address: LinkAddress) -> socket.socket:
    """Return a socket that listens at an address, and waits for nobody."""
    listener = open_socket(address)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows lets others bind a port as well.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listener.bind(address)
        if isinstance(address, str):  # The file has the mode that the umask left.
            os.chmod(address, 0o600)  # noqa: PTH101 - an address is text
        listener.listen()
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def send_at_once(sock: socket.socket) -> None:
    """Have a connected socket gather nothing: each message is waited for."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Readiness:
    """Waits until there is something to read from one socket; or, for writing, room for it."""

    def __init__(self, sock: socket.socket, *, write: bool = False) -> None:
        self._reads, self._writes = ([], [sock]) if write else ([sock], [])
        self._poll = None
        if hasattr(select, "poll"):  # Not on Windows.
            self._poll = select.poll()
            self._poll.register(sock, select.POLLOUT if write else select.POLLIN)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait; return False when time is up."""
        if self._poll is None:
            return any(select.select(self._reads, self._writes, [], seconds))
        return bool(self._poll.poll(None if seconds is None else seconds * 1000))
