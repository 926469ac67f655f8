"""Messages of a worker arrive once and complete, even if a signal handler raises within a send."""

from __future__ import annotations

import gc
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from zmqruntime.execution.worker.child.link_client import LinkClient, LinkClosed
from zmqruntime.execution.worker.child.reporter import ProgressReporter, ServerReportLink
from zmqruntime.execution.worker.framing import Message, MessageReader

PATIENCE = 30.0
TOKEN = b"t" * 16


class Receiver:
    """Listens at a TCP port, and receives the messages of all links, in small parts."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self.received: list[Message] = []
        self.ends = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for_ends(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.ends >= count, PATIENCE)

    def close(self) -> None:
        # On Linux, a close does not wake a thread that blocks in accept.
        ends = self.ends
        with socket.create_connection(self.address) as last:
            last.sendall(b"e" * 17)
        self.wait_for_ends(ends + 1)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            link, _ = self._listener.accept()
            greeting = link.recv(17, socket.MSG_WAITALL)
            if greeting[:16] != TOKEN:
                link.close()
                self._end()
                return
            threading.Thread(target=self._receive, args=(link,), daemon=True).start()

    def _receive(self, link: socket.socket) -> None:
        reader = MessageReader()
        with link:
            while data := link.recv(4096):
                self.received += reader.feed(data)
        self._end()

    def _end(self) -> None:
        with self._changed:
            self.ends += 1
            self._changed.notify_all()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def closed_address() -> tuple[str, int]:
    """An address without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()[:2]
    return address


class Alarm(Exception):
    """A timeout of the task's own."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm clock")
def test_signal_handler_that_raises_within_a_send_keeps_the_framing(receiver: Receiver) -> None:
    def ring(signum: int, frame: FrameType | None) -> None:
        raise Alarm

    link = LinkClient(receiver.address, TOKEN + b"t")
    before = signal.signal(signal.SIGALRM, ring)
    rang = 0
    try:
        for n in range(1500):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002)
                link.send(b"P", "one", b"%06d" % n + b"." * 30_000)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Alarm:
                rang += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    link.send(b"R", "one", b"the end")
    link.close()
    receiver.wait_for_ends(1)
    assert rang > 10, "no alarm rang: the test tests nothing"
    *reports, last = receiver.received
    assert last == Message(b"R", "one", b"the end")
    numbers = [int(report.body[:6]) for report in reports]
    assert numbers == sorted(set(numbers))
    assert all(report.body[6:] == b"." * 30_000 for report in reports)


def test_link_without_a_listener_raises_link_closed(closed_address: tuple[str, int]) -> None:
    with pytest.raises(LinkClosed):
        LinkClient(closed_address, TOKEN + b"t")


def test_reporter_without_a_server_drops_its_reports(closed_address: tuple[str, int]) -> None:
    ProgressReporter(ServerReportLink("one", closed_address, TOKEN)).report(1, 2)


def test_collected_reporter_closes_its_link(receiver: Receiver) -> None:
    for n in range(20):
        reporter = ProgressReporter(ServerReportLink("one", receiver.address, TOKEN))
        reporter.report(n, 20, phase="tiles")
        del reporter
        gc.collect()
    receiver.wait_for_ends(20)
    assert len(receiver.received) == 20
