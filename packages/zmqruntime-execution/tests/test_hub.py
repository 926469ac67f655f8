"""The server hears its own worker, all of it, and nobody else."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from zmqruntime.execution.worker.child.link_client import LinkClosed, WorkerLink
from zmqruntime.execution.worker.framing import Message, encode_message
from zmqruntime.execution.worker.parent import link_server
from zmqruntime.execution.worker.parent.link_server import LinkHub
from zmqruntime.execution.worker.protocol import COMMANDS, TASKS
from zmqruntime.execution.worker.sockets import open_socket
from zmqruntime.transport import Loop
from zmqruntime.transport.limited_log import LimitedLog

PATIENCE = 30.0
TOKEN = b"t" * 16
LONG = bytes(range(256)) * 40_000
MAX_BYTES = len(LONG)

T = TypeVar("T")


class Office:
    """A hub in a loop with a thread, and what it has heard."""

    def __init__(self, path: Path | None) -> None:
        self.heard: list[tuple[bytes, Message]] = []
        self.greetings: list[bytes] = []
        self._news = threading.Condition()
        self._loop = Loop()
        self._thread = threading.Thread(target=self._loop.run)
        self._thread.start()
        self.broken: list[tuple[bytes, str]] = []
        self.hub = self.call(
            lambda: LinkHub(self._loop, path, self._greet, self._hear, self._note_broken, MAX_BYTES)
        )
        self.call(lambda: self.hub.expect(TOKEN))

    def call(self, action: Callable[[], T]) -> T:
        """Do something in the loop's thread."""
        done: Future[T] = Future()
        self._loop.post(lambda: done.set_result(action()))
        return done.result(PATIENCE)

    def link(self, purpose: bytes = TASKS) -> WorkerLink:
        """Return the worker's end, when the hub knows of it."""
        link = WorkerLink(self.hub.address, TOKEN + purpose)
        self.wait_for(lambda: purpose in self.greetings)
        return link

    def wait_for(self, wanted: Callable[[], object]) -> None:
        with self._news:
            assert self._news.wait_for(wanted, PATIENCE)

    def close(self) -> None:
        self.call(self.hub.close)
        self._loop.post(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def _greet(self, purpose: bytes) -> None:
        with self._news:
            self.greetings.append(purpose)
            self._news.notify_all()

    def _note_broken(self, purpose: bytes, reason: str) -> None:
        with self._news:
            self.broken.append((purpose, reason))
            self._news.notify_all()

    def _hear(self, purpose: bytes, messages: Sequence[Message]) -> None:
        with self._news:
            self.heard += [(purpose, message) for message in messages]
            self._news.notify_all()


@pytest.fixture(params=["tcp", "unix"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    if request.param == "unix" and not hasattr(socket, "AF_UNIX"):
        pytest.skip("there are no Unix sockets here")
    office = Office(tmp_path / "link.w" if request.param == "unix" else None)
    yield office
    office.close()
    assert not (tmp_path / "link.w").exists()


def stranger(office: Office, says: bytes) -> socket.socket:
    sock = open_socket(office.hub.address)
    sock.settimeout(PATIENCE)
    sock.connect(office.hub.address)
    sock.sendall(says)
    return sock


def test_what_a_worker_says_is_heard_in_order_and_by_which_link(office: Office) -> None:
    tasks, commands = office.link(TASKS), office.link(COMMANDS)
    for n in range(1000):
        tasks.send(b"P", "one", b"%d" % n)
    commands.send(b"Y")
    office.wait_for(lambda: len(office.heard) == 1001)
    assert [m.body for purpose, m in office.heard if purpose == TASKS] == [
        b"%d" % n for n in range(1000)
    ]
    assert (COMMANDS, Message(b"Y", "", b"")) in office.heard
    tasks.close()
    commands.close()


def test_what_the_server_says_comes_whole_though_nobody_reads_yet(office: Office) -> None:
    link = office.link()
    for body in (LONG, b"short", LONG):
        office.call(partial(office.hub.send, TASKS, b"A", "one", body))
    office.call(lambda: None)  # Its loop goes on meanwhile.
    assert [link.receive() for _ in range(3)] == [
        Message(b"A", "one", body) for body in (LONG, b"short", LONG)
    ]
    link.send(b"R", "one", LONG)
    office.wait_for(lambda: office.heard)
    assert office.heard == [(TASKS, Message(b"R", "one", LONG))]
    link.close()


def test_what_was_said_before_the_end_is_there(office: Office) -> None:
    entered, go_on = threading.Event(), threading.Event()
    link = office.link()

    def read_nothing() -> None:
        entered.set()
        go_on.wait(PATIENCE)

    office._loop.post(read_nothing)
    assert entered.wait(PATIENCE)
    link.send(b"P", "one", b"1")
    link.send(b"R", "one", b"2")
    link._socket.sendall(encode_message(b"P", "one", b"cut short")[:-1])
    late = WorkerLink(office.hub.address, TOKEN + COMMANDS)  # Not let in yet.
    late.send(b"P", "one", b"3")
    link.close()
    late.close()
    drained: list[tuple[bytes, list[Message]]] = []
    office._loop.post(lambda: drained.extend(office.hub.drain()))
    go_on.set()
    office.call(lambda: None)
    said = [message for _, message in office.heard]
    said += [message for _, messages in drained for message in messages]
    assert sorted(m.body for m in said) == [b"1", b"2", b"3"]
    assert not office.call(lambda: office.hub.has(TASKS))


@pytest.mark.parametrize("says", [b"w" * 17, b"GET / HTTP/1.1\r\n\r\n", TOKEN[:-1] + b"x" + TASKS])
def test_a_stranger_is_not_heard(office: Office, says: bytes) -> None:
    sock = stranger(office, says + encode_message(b"R", "one", b"forged"))
    with contextlib.suppress(ConnectionError), sock:  # What it said may be dropped unread.
        assert sock.recv(1) == b""
    assert office.call(lambda: office.heard) == []
    assert not office.greetings


def test_strangers_who_say_nothing_keep_the_worker_from_nothing(office: Office) -> None:
    waiting = [stranger(office, TOKEN[:5]) for _ in range(40)]
    link = office.link()
    link.send(b"Y")
    office.wait_for(lambda: office.heard)
    assert waiting[0].recv(1) == b"", "the oldest of many is dropped"
    waiting[-1].sendall(TOKEN[5:] + COMMANDS)  # A slow one may be a worker still.
    office.wait_for(lambda: COMMANDS in office.greetings)
    for sock in waiting:
        sock.close()
    link.close()


def test_the_worker_of_before_is_heard_no_more(office: Office) -> None:
    link = office.link()
    office.call(lambda: office.hub.expect(b"n" * 16))
    with pytest.raises(LinkClosed):
        link.receive()
    link.close()
    office.call(lambda: office.hub.send(TASKS, b"A", "one", b"{}"))  # There is none to take it.
    with stranger(office, TOKEN + TASKS) as sock:
        assert sock.recv(1) == b""
    assert office.heard == []


def test_a_worker_that_is_gone_is_no_failure_of_the_server(office: Office) -> None:
    link = office.link()
    link.close()
    for _ in range(10):
        office.call(lambda: office.hub.send(TASKS, b"A", "one", LONG))
    office.call(lambda: None)


@pytest.mark.parametrize(
    ("rubbish", "reason"),
    [
        (b"\xff" * 20, "a message of 18,446,744,073,709,551,615 bytes"),
        (encode_message(b"R", "one", LONG + b"!"), f"a message of {MAX_BYTES + 1:,} bytes"),
        (encode_message(b"P", "one").replace(b"one", b"\xfene"), "is no name of an execution"),
    ],
)
def test_what_makes_no_sense_ends_a_link_and_nothing_else(
    office: Office, rubbish: bytes, reason: str
) -> None:
    link, other = office.link(), office.link(COMMANDS)
    link.send(b"P", "one", b"1")
    with contextlib.suppress(OSError):  # It may be dropped before it has said all.
        link._socket.setblocking(True)
        link._socket.sendall(rubbish)
    office.wait_for(lambda: office.broken)
    assert office.broken[0][0] == TASKS
    assert reason in office.broken[0][1]
    assert not office.call(lambda: office.hub.has(TASKS))
    other.send(b"Y")
    office.wait_for(lambda: (COMMANDS, Message(b"Y", "", b"")) in office.heard)
    assert (TASKS, Message(b"P", "one", b"1")) in office.heard
    link.close()
    other.close()


def test_where_no_more_files_can_be_opened_it_tries_again_a_second_later(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0
    accept = socket.socket.accept

    def accept_later(listener: socket.socket) -> object:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(link_server, "_REST_SECONDS", 0.05)
    monkeypatch.setattr(socket.socket, "accept", accept_later)
    link = office.link()
    assert "cannot accept worker connection: [Errno 24] Too many open files" in caplog.text
    assert tries <= 4, "it did not rest"
    link.close()


def test_errors_left_out_of_the_log_are_counted_when_the_hub_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: socket.socket) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(link_server, "LimitedLog", partial(LimitedLog, clock=lambda: 0.0))
    monkeypatch.setattr(socket.socket, "accept", fail)
    loop = Loop()
    links = LinkHub(
        loop, None, lambda purpose: None, lambda purpose, messages: None, lambda *_: None, MAX_BYTES
    )
    for _ in range(3):
        links.drain()
        links._listen_again()
    links.close()
    loop.close()
    assert "worker connections: 2 more since" in caplog.text


def test_what_fails_when_something_is_heard_is_not_taken_for_a_broken_link(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(purpose: bytes) -> None:
        raise FileNotFoundError("the greeting's own")

    failures: list[OSError] = []
    accept = office.hub._accept

    def accept_and_tell() -> None:
        try:
            accept()
        except OSError as error:
            failures.append(error)

    def prepare() -> None:
        fd = office.hub._listener.fileno()
        office._loop.remove_reader(fd)
        office._loop.add_reader(fd, lambda: None)
        monkeypatch.setattr(office.hub, "_on_greeting", fail)

    office.call(prepare)
    link = WorkerLink(office.hub.address, TOKEN + TASKS)
    office.call(accept_and_tell)
    assert [str(error) for error in failures] == ["the greeting's own"]
    link.close()
