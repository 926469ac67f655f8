"""Progress from processes that a task starts, when there is no server to send it to.

Each report is acknowledged, so that one that was made before its process ended is never late.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from zmqruntime.testing.errors import LeftRunning
from zmqruntime.testing.teardown import where_is

__all__ = ["ChildReportLink", "ChildReports"]

_HEAD = struct.Struct("!I")
_KEY_BYTES = 16
_TAKEN = b"\x06"
_GREETING_SECONDS = 5.0
_END_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class ChildReportLink:
    """The way to the test's process."""

    address: tuple[str, int]
    key: bytes

    def open(self) -> Callable[[bytes], None]:
        """Connect, and return what sends one report and waits until it is taken."""
        link = socket.socket()
        lock = threading.Lock()

        def send(body: bytes) -> None:
            # As with a server, what comes after the execution's end is dropped.
            with lock, contextlib.suppress(OSError):
                link.sendall(_HEAD.pack(len(body)) + body)
                link.recv(len(_TAKEN))

        try:
            link.connect(self.address)
            link.sendall(self.key)
        except OSError:
            link.close()
        return send


class ChildReports:
    """Takes reports while it is open, in a thread of its own.

    At the end half a report is dropped.

    Args:
        collect: called with each encoded report.

    Raises:
        LeftRunning: at the end, ``collect`` does not come back.
    """

    def __init__(self, collect: Callable[[bytes], None]) -> None:
        self._collect = collect
        self._links: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self.link = ChildReportLink(self._server.getsockname()[:2], secrets.token_bytes(_KEY_BYTES))
        self._thread = threading.Thread(target=self._run, name="zmqruntime-reports", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake_sender.close()
        for link in tuple(self._links):
            with contextlib.suppress(OSError):  # It may be closed by now.
                link.shutdown(socket.SHUT_RDWR)
        self._thread.join(_END_SECONDS)
        if self._thread.is_alive():
            raise LeftRunning(
                "a report of a process that the task started is still being taken; "
                + where_is(self._thread.name)
            )

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as opened:
            opened.enter_context(self._wake_receiver)
            opened.enter_context(self._server)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            selector.register(self._server, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._wake_receiver in ready:
                    return
                for sock in ready:
                    assert isinstance(sock, socket.socket)
                    if sock is self._server:
                        link = opened.enter_context(sock.accept()[0])
                        self._links.append(link)
                        if self._knows(link):
                            selector.register(link, selectors.EVENT_READ)
                    elif not self._take(sock):
                        selector.unregister(sock)

    def _knows(self, link: socket.socket) -> bool:
        link.settimeout(_GREETING_SECONDS)
        key = _receive(link, _KEY_BYTES)
        return key is not None and hmac.compare_digest(key, self.link.key)

    def _take(self, link: socket.socket) -> bool:
        """Take one report; return whether more may come."""
        head = _receive(link, _HEAD.size)
        body = None if head is None else _receive(link, _HEAD.unpack(head)[0])
        if body is None:
            return False
        self._collect(body)
        with contextlib.suppress(OSError):
            link.sendall(_TAKEN)
        return True


def _receive(link: socket.socket, size: int) -> bytes | None:
    """Return so many bytes, or None when the process at the other end is gone."""
    parts = bytearray()
    try:
        while len(parts) < size:
            part = link.recv(size - len(parts))
            if not part:
                return None
            parts += part
    except OSError:
        return None
    return bytes(parts)
