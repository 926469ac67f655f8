"""Progress waits for a slow server, and is dropped after a timeout when the server is stuck."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from zmqruntime.execution.worker.child.link_client import LinkClient
from zmqruntime.execution.worker.child.outbox import ProgressOutbox
from zmqruntime.execution.worker.framing import MessageReader

PADDING = b"." * 500


class NotingLink:
    """A link that records the timeout of each send, and of those that failed."""

    def __init__(self, link: LinkClient) -> None:
        self._link = link
        self.timeouts: list[float] = []
        self.failed_after: list[float] = []

    def send_within(self, seconds: float, *message: Any) -> bool:
        self.timeouts.append(seconds)
        is_sent = self._link.send_within(seconds, *message)
        if not is_sent:
            self.failed_after.append(seconds)
        return is_sent


class Server:
    """The other end of a link, which reads on demand."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        # Else the system may enlarge the buffer while nothing is read.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.link = LinkClient(self._listener.getsockname()[:2], b"hello")
        self._socket, _ = self._listener.accept()
        self._socket.settimeout(10)
        assert self._socket.recv(5, socket.MSG_WAITALL) == b"hello"
        self._socket.setblocking(False)
        self._reader = MessageReader()

    def take(self) -> list[int]:
        """Read all buffered data, and return the numbers of its reports."""
        taken: list[int] = []
        while True:
            try:
                data = self._socket.recv(65_536)
            except BlockingIOError:
                return taken
            taken += [int(m.body.removeprefix(PADDING)) for m in self._reader.feed(data)]

    def leave(self) -> None:
        self._socket.close()
        self._listener.close()

    def close(self) -> None:
        self.leave()
        self.link.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def fill(outbox: ProgressOutbox, count: int = 50_000) -> None:
    for n in range(count):
        outbox.send(PADDING + b"%d" % n)


def test_reports_to_a_server_that_reads_are_all_sent(server: Server) -> None:
    outbox = ProgressOutbox(server.link, "one")
    taken: list[int] = []
    for n in range(10_000):
        outbox.send(PADDING + b"%d" % n)
        taken += server.take()
    assert taken == list(range(10_000))


def test_send_to_a_stuck_server_waits_for_one_timeout_only(server: Server) -> None:
    link = NotingLink(server.link)
    fill(ProgressOutbox(cast(LinkClient, link), "one", timeout_seconds=0.2))
    failed = len(link.failed_after)
    assert failed > 1
    assert link.failed_after == [0.2] + [0.0] * (failed - 1)
    assert link.timeouts == [0.2] * (50_000 - failed + 1) + [0.0] * (failed - 1)
    taken = server.take()
    assert taken == sorted(set(taken))
    assert 0 < len(taken) < 50_000, "nothing was dropped: the test tests nothing"


def test_latest_dropped_report_is_sent_by_a_flush(server: Server) -> None:
    outbox = ProgressOutbox(server.link, "one", timeout_seconds=0.01)
    fill(outbox)
    taken = server.take()
    outbox.flush()
    outbox.flush()
    taken += server.take()  # A partly sent report is completed, and sent once.
    assert taken == sorted(set(taken))
    assert taken[-1] == 49_999


def test_send_waits_again_after_the_server_has_read(server: Server) -> None:
    outbox = ProgressOutbox(server.link, "one", timeout_seconds=0.01)
    fill(outbox)
    server.take()
    outbox.send(PADDING + b"50000")
    outbox.flush()
    assert server.take()[-1] == 50_000
    taken: list[int] = []
    for n in range(1000):
        outbox.send(PADDING + b"%d" % n)
        taken += server.take()
    assert taken == list(range(1000))


def test_send_to_a_server_that_has_exited_raises_nothing(server: Server) -> None:
    outbox = ProgressOutbox(server.link, "one")
    server.leave()
    fill(outbox, 100)
