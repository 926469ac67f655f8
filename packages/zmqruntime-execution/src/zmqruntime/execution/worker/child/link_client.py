"""The worker's end of a connection to its server: a plain socket, for one thread at a time.

A message is in the kernel's buffer when `LinkClient.send` returns: it is not lost when the worker
exits right after, and no thread is needed between the task and the socket.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from zmqruntime.execution.worker.framing import Message, MessageReader, encode_message
from zmqruntime.execution.worker.sockets import LinkAddress, Readiness, disable_nagle, open_socket

__all__ = ["LinkClient", "LinkClosed"]

_CHUNK_BYTES: Final = 65_536


class LinkClosed(Exception):
    """The server has closed the connection, or has exited."""


class LinkClient:
    """One connection to the server.

    Args:
        address: the server's `LinkServer` address.
        greeting: the worker's token, followed by the purpose of this connection.

    Raises:
        LinkClosed: no server listens at the address.
    """

    def __init__(self, address: LinkAddress, greeting: bytes) -> None:
        self._socket = open_socket(address)
        try:
            self._socket.connect(address)
            disable_nagle(self._socket)
            self._socket.sendall(greeting)
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise LinkClosed from error
        self._readable = Readiness(self._socket)
        self._writable = Readiness(self._socket, write=True)
        self._reader = MessageReader()
        self._received: deque[Message] = deque()
        self._outgoing: tuple[bytes, list[int]] | None = None
        """A message that is partly sent, and the sizes of the sent parts."""

    def receive(self) -> Message:
        """Block until the next message, and return it.

        Raises:
            LinkClosed: the server has closed the connection.
        """
        while not self._received:
            self._readable.wait()
            try:
                data = self._socket.recv(_CHUNK_BYTES)
            except BlockingIOError:
                continue  # A spurious wake-up.
            except OSError as error:
                raise LinkClosed from error
            if not data:
                raise LinkClosed
            self._received.extend(self._reader.feed(data))
            if self._reader.error:
                raise LinkClosed(self._reader.error)
        return self._received.popleft()

    def send(self, kind: bytes, execution_id: str = "", body: bytes = b"") -> None:
        """Send a message, without a timeout.

        Raises:
            LinkClosed: the server has closed the connection.
        """
        self._push(None)
        self._outgoing = (encode_message(kind, execution_id, body), [])
        self._push(None)

    def send_within(self, seconds: float, kind: bytes, execution_id: str, body: bytes) -> bool:
        """Send a message; return False if none of it was sent before the timeout.

        Raises:
            LinkClosed: the server has closed the connection.
        """
        if self._outgoing is not None and not self._push(seconds):
            return False
        sent: list[int] = []
        self._outgoing = (encode_message(kind, execution_id, body), sent)
        if self._push(seconds) or sent:
            return True
        self._outgoing = None
        return False

    def flush_within(self, seconds: float) -> bool:
        """Send the rest of a message that is partly sent; return False at the timeout.

        Raises:
            LinkClosed: the server has closed the connection.
        """
        return self._push(seconds)

    def close(self) -> None:
        """Close the connection; sent messages still arrive."""
        self._socket.close()

    def _push(self, seconds: float | None) -> bool:
        """Send the outgoing message, with a timeout for each part; return whether all is sent."""
        if self._outgoing is None:
            return True
        message, sent = self._outgoing
        while (size := sum(sent)) < len(message):
            rest = memoryview(message)[size:] if size else message
            try:
                # One call sends and stores the size: a signal handler may raise between two calls,
                # and a part that is sent twice breaks the framing.
                sent.extend(map(self._socket.send, (rest,)))
            except BlockingIOError:
                if not self._writable.wait(seconds):
                    return False
            except OSError as error:
                raise LinkClosed from error
        self._outgoing = None
        return True
