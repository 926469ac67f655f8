"""The worker's end of the private link to its server: a plain socket, for one thread at a time.

A message is with the server's kernel when `WorkerLink.send` returns: nothing of it is lost when
the worker ends in the next moment, and no thread stands between the task and the socket.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from typing import Final

from zmqruntime.execution.worker.framing import Message, MessageReader, encode_message

__all__ = ["LinkAddress", "LinkClosed", "WorkerLink", "open_socket", "send_at_once"]

LinkAddress = str | tuple[str, int]
"""The path of a Unix socket, or a TCP host and port."""

_CHUNK_BYTES: Final = 65_536


class LinkClosed(Exception):
    """The server is gone."""


class WorkerLink:
    """One connection to the server, which knows by the token whose it is.

    Args:
        address: where the server listens.
        greeting: the token that the server has given to this worker, and what this link is for.
    """

    def __init__(self, address: LinkAddress, greeting: bytes) -> None:
        self._socket = open_socket(address)
        self._socket.connect(address)
        send_at_once(self._socket)
        self._socket.sendall(greeting)
        self._socket.setblocking(False)
        self._reader = MessageReader()
        self._received: deque[Message] = deque()
        self._rest = memoryview(b"")
        """What is left of a message that has begun to go out."""

    def receive(self) -> Message:
        """Return the next message, when there is one.

        Raises:
            LinkClosed: there will be none.
        """
        while not self._received:
            _wait(self._socket)
            try:
                data = self._socket.recv(_CHUNK_BYTES)
            except BlockingIOError:
                continue  # It was nothing after all.
            except OSError as error:
                raise LinkClosed from error
            if not data:
                raise LinkClosed
            self._received.extend(self._reader.feed(data))
        return self._received.popleft()

    def send(self, kind: bytes, execution_id: str = "", body: bytes = b"") -> None:
        """Send a message, however long that takes.

        Raises:
            LinkClosed: nobody will take it.
        """
        self._push(None)
        self._rest = memoryview(encode_message(kind, execution_id, body))
        self._push(None)

    def send_within(self, seconds: float, kind: bytes, execution_id: str, body: bytes) -> bool:
        """Send a message if the server makes room for its beginning in time; say whether it did.

        Raises:
            LinkClosed: nobody will take it.
        """
        if not self._push(seconds):
            return False
        message = memoryview(encode_message(kind, execution_id, body))
        self._rest = message
        if not self._push(seconds) and self._rest is message:
            self._rest = memoryview(b"")
            return False
        return True

    def close(self) -> None:
        """Close it; what was sent still arrives."""
        self._socket.close()

    def _push(self, seconds: float | None) -> bool:
        """Send what is left, as long as there is room within so many seconds; say if all is out."""
        while self._rest:
            try:
                sent = self._socket.send(self._rest)
            except BlockingIOError:
                if not _wait(self._socket, seconds, write=True):
                    return False
            except OSError as error:
                raise LinkClosed from error
            else:
                self._rest = self._rest[sent:]
        return True


def open_socket(address: LinkAddress) -> socket.socket:
    """Return a socket of the kind that an address is for."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM)


def send_at_once(sock: socket.socket) -> None:
    """Have a connected socket gather nothing: each message is waited for."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _wait(sock: socket.socket, seconds: float | None = None, *, write: bool = False) -> bool:
    """Wait until there is something to read, or room to write; False when time is up."""
    if not hasattr(select, "poll"):  # Windows
        readable, writable = ([], [sock]) if write else ([sock], [])
        return any(select.select(readable, writable, [], seconds))
    poll = select.poll()
    poll.register(sock, select.POLLOUT if write else select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
