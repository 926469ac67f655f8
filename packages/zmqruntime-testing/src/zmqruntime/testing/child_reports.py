"""Receives progress reports from child processes of a task that runs without a server.

Each report is acknowledged, so that a child process cannot exit before its report is collected.
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
from zmqruntime.testing.teardown import describe_thread

__all__ = ["ChildReportLink", "ChildReports"]

_HEADER = struct.Struct("!I")
_KEY_BYTES = 16
_ACK = b"\x06"
_KEY_TIMEOUT_SECONDS = 5.0
_JOIN_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class ChildReportLink:
    """Address and key with which a child process connects to the test's process."""

    address: tuple[str, int]
    key: bytes

    def open(self) -> Callable[[bytes], None]:
        """Connect, and return a function that sends a report and waits for its acknowledgement."""
        link = socket.socket()
        lock = threading.Lock()

        def send(body: bytes) -> None:
            # Reports after the end of the execution are dropped, as a server does.
            with lock, contextlib.suppress(OSError):
                link.sendall(_HEADER.pack(len(body)) + body)
                link.recv(len(_ACK))

        try:
            link.connect(self.address)
            link.sendall(self.key)
        except OSError:
            link.close()
        return send


class ChildReports:
    """Receives reports in its own thread while the context is open.

    An incomplete report is dropped on exit.

    Args:
        collect: called with each encoded report, in that thread.

    Raises:
        LeftRunning: on exit, if ``collect`` does not return.
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
            with contextlib.suppress(OSError):  # The peer may have closed it.
                link.shutdown(socket.SHUT_RDWR)
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive():
            raise LeftRunning(
                "a progress report of a child process of the task is still being collected; "
                + describe_thread(self._thread.name)
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
                        if self._authenticate(link):
                            selector.register(link, selectors.EVENT_READ)
                    elif not self._receive_report(sock):
                        selector.unregister(sock)

    def _authenticate(self, link: socket.socket) -> bool:
        link.settimeout(_KEY_TIMEOUT_SECONDS)
        key = _receive(link, _KEY_BYTES)
        return key is not None and hmac.compare_digest(key, self.link.key)

    def _receive_report(self, link: socket.socket) -> bool:
        """Receive one report; return False if the connection has ended."""
        header = _receive(link, _HEADER.size)
        body = None if header is None else _receive(link, _HEADER.unpack(header)[0])
        if body is None:
            return False
        self._collect(body)
        with contextlib.suppress(OSError):
            link.sendall(_ACK)
        return True


def _receive(link: socket.socket, size: int) -> bytes | None:
    """Return ``size`` bytes, or None if the peer has closed the connection."""
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
