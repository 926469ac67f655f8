"""The worker's end of the private link to its server: a plain socket, for one thread at a time.

A message is with the server's kernel when `WorkerLink.send` returns: nothing of it is lost when
the worker ends in the next moment, and no thread stands between the task and the socket.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from zmqruntime.execution.worker.framing import Message, MessageReader, encode_message
from zmqruntime.execution.worker.sockets import LinkAddress, Readiness, open_socket, send_at_once

__all__ = ["LinkClosed", "WorkerLink"]

_CHUNK_BYTES: Final = 65_536


class LinkClosed(Exception):
    """The server is gone."""


class WorkerLink:
    """One connection to the server, which knows by the token whose it is.

    Args:
        address: where the server listens.
        greeting: the token that the server has given to this worker, and what this link is for.

    Raises:
        LinkClosed: nobody listens there any more.
    """

    def __init__(self, address: LinkAddress, greeting: bytes) -> None:
        self._socket = open_socket(address)
        try:
            self._socket.connect(address)
            send_at_once(self._socket)
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
        """A message on its way out, and how much of it has gone, piece by piece."""

    def receive(self) -> Message:
        """Return the next message, when there is one.

        Raises:
            LinkClosed: there will be none.
        """
        while not self._received:
            self._readable.wait()
            try:
                data = self._socket.recv(_CHUNK_BYTES)
            except BlockingIOError:
                continue  # It was nothing after all.
            except OSError as error:
                raise LinkClosed from error
            if not data:
                raise LinkClosed
            self._received.extend(self._reader.feed(data))
            if self._reader.broken:
                raise LinkClosed(self._reader.broken)
        return self._received.popleft()

    def send(self, kind: bytes, execution_id: str = "", body: bytes = b"") -> None:
        """Send a message, however long that takes.

        Raises:
            LinkClosed: nobody will take it.
        """
        self._push(None)
        self._outgoing = (encode_message(kind, execution_id, body), [])
        self._push(None)

    def send_within(self, seconds: float, kind: bytes, execution_id: str, body: bytes) -> bool:
        """Send a message if the server makes room for its beginning in time; say whether it did.

        Raises:
            LinkClosed: nobody will take it.
        """
        if self._outgoing is not None and not self._push(seconds):
            return False
        sent: list[int] = []
        self._outgoing = (encode_message(kind, execution_id, body), sent)
        if self._push(seconds) or sent:
            return True
        self._outgoing = None
        return False

    def finish(self, seconds: float) -> bool:
        """Send the rest of what has begun to go out, if there is room in time; say if there was.

        Raises:
            LinkClosed: nobody will take it.
        """
        return self._push(seconds)

    def close(self) -> None:
        """Close it; what was sent still arrives."""
        self._socket.close()

    def _push(self, seconds: float | None) -> bool:
        """Send what is left, as long as there is room within so many seconds; say if all is out."""
        if self._outgoing is None:
            return True
        message, sent = self._outgoing
        while (gone := sum(sent)) < len(message):
            rest = memoryview(message)[gone:] if gone else message
            try:
                # In one call with the note of how much it was: a signal's handler may raise
                # between any two, and what is sent twice spoils all that follows.
                sent.extend(map(self._socket.send, (rest,)))
            except BlockingIOError:
                if not self._writable.wait(seconds):
                    return False
            except OSError as error:
                raise LinkClosed from error
        self._outgoing = None
        return True
