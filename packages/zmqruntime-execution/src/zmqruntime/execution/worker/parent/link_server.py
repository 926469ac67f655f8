"""The server's end of the link to its worker: accepts, authenticates and reads its connections."""

from __future__ import annotations

import errno
import hmac
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from zmqruntime.execution.worker.framing import (
    Message,
    MessageReader,
    encode_header,
    encode_message,
)
from zmqruntime.execution.worker.protocol import TOKEN_BYTES
from zmqruntime.execution.worker.sockets import LinkAddress, disable_nagle, listen
from zmqruntime.transport import Loop
from zmqruntime.transport.lowlevel import LimitedLog, make_private_dir, read_file_id

__all__ = ["LinkServer"]

# Small, so that a request waits for little of a burst of progress; for a long message, larger.
_CHUNK_BYTES: Final = 8192
_LONG_CHUNK_BYTES: Final = 2**20
_GREETING_BYTES: Final = TOKEN_BYTES + 1
_MAX_UNAUTHENTICATED: Final = 16
_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})
_RETRY_SECONDS: Final = 1.0

_log = logging.getLogger("zmqruntime.server")


class LinkServer:
    """Listens for the connections of one worker after the other. For the loop's thread.

    A connection authenticates with the current worker's token: on TCP, any local process may
    connect.

    Args:
        loop: calls back when a socket is readable.
        path: of the Unix socket to listen on; None: TCP on the loopback address.
        on_greeting: called with the purpose of a connection that has authenticated.
        on_messages: called with the purpose, and the messages of one read.
        on_invalid: called with the purpose of a connection that was closed for an invalid message,
            and the reason.
        max_bytes: limit of a message.
    """

    def __init__(
        self,
        loop: Loop,
        path: Path | None,
        on_greeting: Callable[[bytes], None],
        on_messages: Callable[[bytes, Sequence[Message]], None],
        on_invalid: Callable[[bytes, str], None],
        max_bytes: int,
    ) -> None:
        self._loop = loop
        self._path = path
        self._on_greeting = on_greeting
        self._on_messages = on_messages
        self._on_invalid = on_invalid
        self._max_bytes = max_bytes
        self._token = b""
        self._connections: list[_Connection] = []
        self._limited_log = LimitedLog(_log)
        self._listener: socket.socket
        self._is_accepting = False
        self._file: tuple[int, int] | None = None
        """Identity of the socket file."""
        self._listen()

    @property
    def address(self) -> LinkAddress:
        """The address that it listens on."""
        name: LinkAddress = self._listener.getsockname()
        return name

    def restore_socket(self) -> None:
        """Listen anew if the socket file was removed; open connections stay.

        Raises:
            EndpointError: its directory cannot be created or used.
            OSError: the file cannot be created.
        """
        if self._path is None or read_file_id(self._path) == self._file:
            return
        make_private_dir(self._path.parent)
        if self._is_accepting:
            self._loop.remove_reader(self._listener.fileno())
        self._is_accepting = False
        self._listener.close()
        self._listen()

    def _listen(self) -> None:
        if self._path is None:
            self._listener = listen(("127.0.0.1", 0))
        else:
            self._path.unlink(missing_ok=True)  # Stale: this server holds the lock.
            self._listener = listen(str(self._path))
            self._file = read_file_id(self._path)
        self._is_accepting = True
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def set_token(self, token: bytes) -> None:
        """Accept the worker with this token from now on; close every other connection."""
        self._token = token
        for connection in tuple(self._connections):
            self._drop(connection)

    def is_connected(self, purpose: bytes) -> bool:
        """Whether the worker has a connection for this purpose."""
        return any(connection.purpose == purpose for connection in self._connections)

    def send(self, purpose: bytes, kind: bytes, execution_id: str = "", body: bytes = b"") -> None:
        """Send a message; without a connection for this purpose, the worker is ending: drop it."""
        for connection in self._connections:
            if connection.purpose != purpose:
                continue
            if len(body) < _LONG_CHUNK_BYTES:
                connection.send(encode_message(kind, execution_id, body))
            else:  # Without a copy of the body.
                connection.send(encode_header(kind, execution_id, body))
                connection.send(body)

    def drain(self) -> list[tuple[bytes, list[Message]]]:
        """Return all unread messages of a worker that has exited."""
        received: list[tuple[bytes, list[Message]]] = []
        self._accept_pending()
        for connection in tuple(self._connections):
            while (messages := self._receive(connection, _LONG_CHUNK_BYTES)) is not None:
                received.append((connection.purpose, messages))
        return received

    def close(self) -> None:
        """Close every connection and the listener."""
        for connection in tuple(self._connections):
            self._drop(connection)
        if self._is_accepting:
            self._loop.remove_reader(self._listener.fileno())
        self._limited_log.close()
        self._listener.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        for connection in self._accept_pending():
            self._read(connection)  # The greeting has mostly arrived already.

    def _accept_pending(self) -> list[_Connection]:
        """Accept a few pending connections."""
        accepted: list[_Connection] = []
        for _ in range(_MAX_UNAUTHENTICATED):
            try:
                connected, _peer = self._listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._pause_accepting(error)
                    break
                continue  # Closed by its peer before it was accepted.
            strangers = [known for known in self._connections if not known.purpose]
            if len(strangers) >= _MAX_UNAUTHENTICATED:
                self._drop(strangers[0])
            connection = _Connection(connected, self._loop, self._max_bytes)
            self._connections.append(connection)
            self._loop.add_reader(connection.fd, partial(self._read, connection))
            accepted.append(connection)
        return accepted

    def _pause_accepting(self, error: OSError) -> None:
        """Accept no connection for a second: until a descriptor is free, accept fails again."""
        self._limited_log.log(
            logging.ERROR,
            "worker connections",
            "cannot accept worker connection: %s; retrying every second",
            error,
        )
        self._is_accepting = False
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_at(time.monotonic() + _RETRY_SECONDS, self._resume_accepting)

    def _resume_accepting(self) -> None:
        if self._listener.fileno() >= 0 and not self._is_accepting:  # Not closed or replaced.
            self._is_accepting = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _read(self, connection: _Connection) -> None:
        was_authenticated = bool(connection.purpose)
        messages = self._receive(connection, _CHUNK_BYTES)
        if connection.purpose and not was_authenticated:
            self._on_greeting(connection.purpose)
        if messages:
            self._on_messages(connection.purpose, messages)
        if connection.reader.error:
            self._drop(connection)
            self._on_invalid(connection.purpose, connection.reader.error)

    def _receive(self, connection: _Connection, max_bytes: int) -> list[Message] | None:
        """Return the messages that one read completes; None: nothing to read, or closed."""
        missing = connection.reader.missing
        try:
            data = connection.socket.recv(max(max_bytes, min(missing, _LONG_CHUNK_BYTES)))
        except BlockingIOError:
            return None
        except OSError:
            data = b""  # Reset; what arrived before has been read.
        if not data:
            self._drop(connection)
            return None
        if not connection.purpose:
            connection.greeting += data
            greeting = connection.greeting
            token, data = greeting[:TOKEN_BYTES], greeting[_GREETING_BYTES:]
            if len(greeting) < _GREETING_BYTES:
                return []
            if not hmac.compare_digest(token, self._token):
                self._drop(connection)
                return None
            connection.purpose = greeting[TOKEN_BYTES:_GREETING_BYTES]
        return connection.reader.feed(data)

    def _drop(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._loop.remove_reader(connection.fd)
            connection.socket.close()


class _Connection:
    """One connection of a worker: its purpose once it has authenticated, and its unsent data."""

    def __init__(self, connected: socket.socket, loop: Loop, max_bytes: int) -> None:
        self.socket = connected
        self.fd = connected.fileno()
        self.purpose = b""
        self.greeting = b""
        self.reader = MessageReader(max_bytes)
        self._loop = loop
        self._unsent: deque[memoryview] = deque()
        connected.setblocking(False)
        disable_nagle(connected)

    def send(self, data: bytes) -> None:
        """Send what the socket takes now, and the rest when it is writable."""
        rest = memoryview(data)
        if not self._unsent:
            rest = self._send_now(rest)
            if rest:
                self._loop.add_writer(self.fd, self._flush)
        if rest:
            self._unsent.append(rest)

    def _flush(self) -> None:
        while self._unsent:
            rest = self._send_now(self._unsent.popleft())
            if rest:
                self._unsent.appendleft(rest)
                return
        self._loop.remove_writer(self.fd)

    def _send_now(self, data: memoryview) -> memoryview:
        """Return what the socket has not taken."""
        try:
            return data[self.socket.send(data) :]
        except BlockingIOError:
            return data
        except OSError:
            return data[:0]  # Closed by the worker; its exit is reported by its watcher thread.
