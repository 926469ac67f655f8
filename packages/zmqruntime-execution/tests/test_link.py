"""What a worker says is heard once and whole, whatever falls upon it in the midst of a word."""

from __future__ import annotations

import gc
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from zmqruntime.execution.worker.child.link_client import LinkClosed, WorkerLink
from zmqruntime.execution.worker.child.reporter import ProgressReporter, ServerReportLink
from zmqruntime.execution.worker.framing import Message, MessageReader

PATIENCE = 30.0
TOKEN = b"t" * 16


class Ear:
    """Listens at a TCP port, and hears what comes by all links, a little at a time."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self.heard: list[Message] = []
        self.ends = 0
        self._news = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_for_ends(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.ends >= count, PATIENCE)

    def close(self) -> None:
        # On Linux no close wakes who waits in accept.
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
            threading.Thread(target=self._hear, args=(link,), daemon=True).start()

    def _hear(self, link: socket.socket) -> None:
        reader = MessageReader()
        with link:
            while data := link.recv(4096):
                self.heard += reader.feed(data)
        self._end()

    def _end(self) -> None:
        with self._news:
            self.ends += 1
            self._news.notify_all()


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.close()


@pytest.fixture
def nowhere() -> tuple[str, int]:
    """An address where nobody listens any more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()[:2]
    return address


class Alarm(Exception):
    """A time-out of the task's own."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm clock")
def test_a_signal_that_raises_in_the_midst_of_a_report_spoils_no_other(ear: Ear) -> None:
    def ring(signum: int, frame: FrameType | None) -> None:
        raise Alarm

    link = WorkerLink(ear.address, TOKEN + b"t")
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
    ear.wait_for_ends(1)
    assert rang > 10, "no alarm rang: the test tests nothing"
    *reports, last = ear.heard
    assert last == Message(b"R", "one", b"the end")
    numbers = [int(report.body[:6]) for report in reports]
    assert numbers == sorted(set(numbers))
    assert all(report.body[6:] == b"." * 30_000 for report in reports)


def test_a_link_to_nobody_is_closed(nowhere: tuple[str, int]) -> None:
    with pytest.raises(LinkClosed):
        WorkerLink(nowhere, TOKEN + b"t")


def test_a_reporter_whose_server_is_gone_says_nothing(nowhere: tuple[str, int]) -> None:
    ProgressReporter(ServerReportLink("one", nowhere, TOKEN)).report(1, 2)


def test_a_reporter_takes_its_link_along_when_it_goes(ear: Ear) -> None:
    for n in range(20):
        reporter = ProgressReporter(ServerReportLink("one", ear.address, TOKEN))
        reporter.report(n, 20, phase="tiles")
        del reporter
        gc.collect()
    ear.wait_for_ends(20)
    assert len(ear.heard) == 20
