"""The server's end of the links to its worker: whose they are, and what comes and goes by them."""

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

from zmqruntime.execution.worker.framing import Message, MessageReader, encode_head, encode_message
from zmqruntime.execution.worker.protocol import TOKEN_BYTES
from zmqruntime.execution.worker.sockets import LinkAddress, listen, send_at_once
from zmqruntime.transport import Loop
from zmqruntime.transport.lowlevel import LimitedLog, make_private_dir, read_file_id

__all__ = ["LinkHub"]

# Little, so that a request waits for little of a flood of progress; of a long message, more.
_CHUNK_BYTES: Final = 8192
_LONG_CHUNK_BYTES: Final = 2**20
_GREETING_BYTES: Final = TOKEN_BYTES + 1
_MAX_STRANGERS: Final = 16
_NO_MORE_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
_REST_SECONDS: Final = 1.0

_log = logging.getLogger("zmqruntime.server")


class LinkHub:
    """Listens for one worker's links, from its start to its end, and then for the next one's.

    For the loop's thread. On TCP a stranger may find the port; without the token he is not heard.

    Args:
        loop: calls back when there is something to read.
        path: of the Unix socket to listen on; None: on TCP, on loopback alone.
        on_greeting: called with what a link is for, when it has said so.
        on_messages: called with what a link is for, and what came by it at once.
        on_broken: called with what a link was for, and why nothing more can be heard by it.
        max_bytes: how long what is said may be.
    """

    def __init__(
        self,
        loop: Loop,
        path: Path | None,
        on_greeting: Callable[[bytes], None],
        on_messages: Callable[[bytes, Sequence[Message]], None],
        on_broken: Callable[[bytes, str], None],
        max_bytes: int,
    ) -> None:
        self._loop = loop
        self._path = path
        self._on_greeting = on_greeting
        self._on_messages = on_messages
        self._on_broken = on_broken
        self._max_bytes = max_bytes
        self._token = b""
        self._links: list[_Link] = []
        self._limited_log = LimitedLog(_log)
        self._listener: socket.socket
        self._listens = False
        self._file: tuple[int, int] | None = None
        """Which file is at the path."""
        self._listen()

    @property
    def address(self) -> LinkAddress:
        """Where it listens."""
        name: LinkAddress = self._listener.getsockname()
        return name

    def restore(self) -> None:
        """Listen anew, if the file to connect to was removed. Links that are open stay so.

        Raises:
            EndpointError: its directory cannot be made, or used.
            OSError: the file cannot be made.
        """
        if self._path is None or read_file_id(self._path) == self._file:
            return
        make_private_dir(self._path.parent)
        if self._listens:
            self._loop.remove_reader(self._listener.fileno())
        self._listens = False
        self._listener.close()
        self._listen()

    def _listen(self) -> None:
        if self._path is None:
            self._listener = listen(("127.0.0.1", 0))
        else:
            self._path.unlink(missing_ok=True)  # The server's lock says that it is stale.
            self._listener = listen(str(self._path))
            self._file = read_file_id(self._path)
        self._listens = True
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def expect(self, token: bytes) -> None:
        """Listen to the worker that was given this token, and to no other any more."""
        self._token = token
        for link in tuple(self._links):
            self._drop(link)

    def has(self, purpose: bytes) -> bool:
        """Whether the worker has a link for this."""
        return any(link.purpose == purpose for link in self._links)

    def send(self, purpose: bytes, kind: bytes, execution_id: str = "", body: bytes = b"") -> None:
        """Send by the link for this. A worker that has none has ended, or is about to."""
        for link in self._links:
            if link.purpose != purpose:
                continue
            if len(body) < _LONG_CHUNK_BYTES:
                link.send(encode_message(kind, execution_id, body))
            else:  # It is not copied.
                link.send(encode_head(kind, execution_id, body))
                link.send(body)

    def drain(self) -> list[tuple[bytes, list[Message]]]:
        """Return all that a worker, which has ended, has said and nobody has read yet."""
        heard: list[tuple[bytes, list[Message]]] = []
        self._let_in()
        for link in tuple(self._links):
            while (messages := self._hear(link, _LONG_CHUNK_BYTES)) is not None:
                heard.append((link.purpose, messages))
        return heard

    def close(self) -> None:
        """End every link, and listen no more."""
        for link in tuple(self._links):
            self._drop(link)
        if self._listens:
            self._loop.remove_reader(self._listener.fileno())
        self._limited_log.close()
        self._listener.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        for link in self._let_in():
            self._read(link)  # Who it is has been said already, as a rule.

    def _let_in(self) -> list[_Link]:
        """Take those who want to speak, a few at a time."""
        let_in: list[_Link] = []
        for _ in range(_MAX_STRANGERS):
            try:
                accepted, _peer = self._listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _NO_MORE_FILES:
                    self._rest(error)
                    break
                continue  # Who has left again before he was let in.
            strangers = [link for link in self._links if not link.purpose]
            if len(strangers) >= _MAX_STRANGERS:
                self._drop(strangers[0])
            link = _Link(accepted, self._loop, self._max_bytes)
            self._links.append(link)
            self._loop.add_reader(link.fd, partial(self._read, link))
            let_in.append(link)
        return let_in

    def _rest(self, error: OSError) -> None:
        """Let nobody in for a moment: there is no room, and the next try would fail as well."""
        self._limited_log.log(
            logging.ERROR,
            "worker connections",
            "cannot accept worker connection: %s; retrying every second",
            error,
        )
        self._listens = False
        self._loop.remove_reader(self._listener.fileno())
        self._loop.call_at(time.monotonic() + _REST_SECONDS, self._listen_again)

    def _listen_again(self) -> None:
        if self._listener.fileno() >= 0 and not self._listens:  # Not closed, or made anew.
            self._listens = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _read(self, link: _Link) -> None:
        was_known = bool(link.purpose)
        messages = self._hear(link, _CHUNK_BYTES)
        if link.purpose and not was_known:
            self._on_greeting(link.purpose)
        if messages:
            self._on_messages(link.purpose, messages)
        if link.reader.broken:
            self._drop(link)
            self._on_broken(link.purpose, link.reader.broken)

    def _hear(self, link: _Link, most: int) -> list[Message] | None:
        """Return what a link brings now, as far as it is whole; None: there is nothing."""
        try:
            data = link.socket.recv(max(most, min(link.reader.missing, _LONG_CHUNK_BYTES)))
        except BlockingIOError:
            return None
        except OSError:
            data = b""  # It was cut; what came before that has been read.
        if not data:
            self._drop(link)
            return None
        if not link.purpose:
            link.greeting += data
            token, data = link.greeting[:TOKEN_BYTES], link.greeting[_GREETING_BYTES:]
            if len(link.greeting) < _GREETING_BYTES:
                return []
            if not hmac.compare_digest(token, self._token):
                self._drop(link)
                return None
            link.purpose = link.greeting[TOKEN_BYTES:_GREETING_BYTES]
        return link.reader.feed(data)

    def _drop(self, link: _Link) -> None:
        if link in self._links:
            self._links.remove(link)
            self._loop.remove_reader(link.fd)
            link.socket.close()


class _Link:
    """One connection: what it is for, and what has not gone out yet."""

    def __init__(self, connected: socket.socket, loop: Loop, max_bytes: int) -> None:
        self.socket = connected
        self.fd = connected.fileno()
        self.purpose = b""
        self.greeting = b""
        self.reader = MessageReader(max_bytes)
        self._loop = loop
        self._unsent: deque[memoryview] = deque()
        connected.setblocking(False)
        send_at_once(connected)

    def send(self, message: bytes) -> None:
        """Send a message, or what there is room for now, and the rest when there is more."""
        rest = memoryview(message)
        if not self._unsent:
            rest = self._push(rest)
            if rest:
                self._loop.add_writer(self.fd, self._go_on)
        if rest:
            self._unsent.append(rest)

    def _go_on(self) -> None:
        while self._unsent:
            rest = self._push(self._unsent.popleft())
            if rest:
                self._unsent.appendleft(rest)
                return
        self._loop.remove_writer(self.fd)

    def _push(self, rest: memoryview) -> memoryview:
        try:
            return rest[self.socket.send(rest) :]
        except BlockingIOError:
            return rest
        except OSError:
            return rest[:0]  # Nobody will read it. Whoever watches the worker tells of its end.
