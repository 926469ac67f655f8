"""A report link over a pipe, and the process that collects its reports."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Client, Listener
from typing import Any

from zmqruntime.execution import ProgressReporter

__all__ = ["Home", "PipeLink", "report_thrice"]


@dataclass(frozen=True)
class PipeLink:
    """Connects to a `Home`, and reports each call of `open`."""

    address: Any

    def open(self) -> Callable[[bytes], None]:
        connection = Client(self.address)
        connection.send_bytes(b"opened in %d" % os.getpid())
        return connection.send_bytes


class Home:
    """Collects the reports of other processes."""

    def __init__(self) -> None:
        self._listener = Listener(("127.0.0.1", 0))
        self.link = PipeLink(self._listener.address)

    def collect(self) -> list[bytes]:
        """Return all messages of one other process."""
        received = []
        with self._listener, self._listener.accept() as connection:
            try:
                while True:
                    received.append(connection.recv_bytes())
            except EOFError:
                return received


def report_thrice(reporter: ProgressReporter) -> None:
    for n in (1, 2, 3):
        reporter.report(n, 3)
