"""The link server receives every message of its own worker, and none of other processes."""

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

from zmqruntime.execution.worker.child.link_client import LinkClient, LinkClosed
from zmqruntime.execution.worker.framing import Message, encode_message
from zmqruntime.execution.worker.parent import link_server
from zmqruntime.execution.worker.parent.link_server import LinkServer
from zmqruntime.execution.worker.protocol import COMMANDS, TASKS
from zmqruntime.execution.worker.sockets import open_socket
from zmqruntime.transport import Loop
from zmqruntime.transport.limited_log import LimitedLog

PATIENCE = 30.0
TOKEN = b"t" * 16
LONG = bytes(range(256)) * 40_000
MAX_BYTES = len(LONG)

T = TypeVar("T")


class Bench:
    """A link server in a loop with a thread, and what it has received."""

    def __init__(self, path: Path | None) -> None:
        self.received: list[tuple[bytes, Message]] = []
        self.greetings: list[bytes] = []
        self._changed = threading.Condition()
        self._loop = Loop()
        self._thread = threading.Thread(target=self._loop.run)
        self._thread.start()
        self.invalid: list[tuple[bytes, str]] = []
        self.server = self.call(
            lambda: LinkServer(
                self._loop, path, self._on_greeting, self._receive, self._on_invalid, MAX_BYTES
            )
        )
        self.call(lambda: self.server.set_token(TOKEN))

    def call(self, action: Callable[[], T]) -> T:
        """Call ``action`` in the loop's thread."""
        done: Future[T] = Future()
        self._loop.post(lambda: done.set_result(action()))
        return done.result(PATIENCE)

    def link(self, purpose: bytes = TASKS) -> LinkClient:
        """Return the worker's end of an authenticated connection."""
        link = LinkClient(self.server.address, TOKEN + purpose)
        self.wait_for(lambda: purpose in self.greetings)
        return link

    def wait_for(self, wanted: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(wanted, PATIENCE)

    def close(self) -> None:
        self.call(self.server.close)
        self._loop.post(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def _on_greeting(self, purpose: bytes) -> None:
        with self._changed:
            self.greetings.append(purpose)
            self._changed.notify_all()

    def _on_invalid(self, purpose: bytes, reason: str) -> None:
        with self._changed:
            self.invalid.append((purpose, reason))
            self._changed.notify_all()

    def _receive(self, purpose: bytes, messages: Sequence[Message]) -> None:
        with self._changed:
            self.received += [(purpose, message) for message in messages]
            self._changed.notify_all()


@pytest.fixture(params=["tcp", "unix"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "unix" and not hasattr(socket, "AF_UNIX"):
        pytest.skip("there are no Unix sockets here")
    bench = Bench(tmp_path / "link.w" if request.param == "unix" else None)
    yield bench
    bench.close()
    assert not (tmp_path / "link.w").exists()


def connect(bench: Bench, data: bytes) -> socket.socket:
    sock = open_socket(bench.server.address)
    sock.settimeout(PATIENCE)
    sock.connect(bench.server.address)
    sock.sendall(data)
    return sock


def test_messages_of_a_worker_arrive_in_order_with_their_purpose(bench: Bench) -> None:
    tasks, commands = bench.link(TASKS), bench.link(COMMANDS)
    for n in range(1000):
        tasks.send(b"P", "one", b"%d" % n)
    commands.send(b"Y")
    bench.wait_for(lambda: len(bench.received) == 1001)
    assert [m.body for purpose, m in bench.received if purpose == TASKS] == [
        b"%d" % n for n in range(1000)
    ]
    assert (COMMANDS, Message(b"Y", "", b"")) in bench.received
    tasks.close()
    commands.close()


def test_long_messages_to_a_worker_that_reads_later_arrive_complete(bench: Bench) -> None:
    link = bench.link()
    for body in (LONG, b"short", LONG):
        bench.call(partial(bench.server.send, TASKS, b"A", "one", body))
    bench.call(lambda: None)  # The loop is not blocked.
    assert [link.receive() for _ in range(3)] == [
        Message(b"A", "one", body) for body in (LONG, b"short", LONG)
    ]
    link.send(b"R", "one", LONG)
    bench.wait_for(lambda: bench.received)
    assert bench.received == [(TASKS, Message(b"R", "one", LONG))]
    link.close()


def test_drain_returns_the_messages_sent_before_the_exit(bench: Bench) -> None:
    entered, go_on = threading.Event(), threading.Event()
    link = bench.link()

    def read_nothing() -> None:
        entered.set()
        go_on.wait(PATIENCE)

    bench._loop.post(read_nothing)
    assert entered.wait(PATIENCE)
    link.send(b"P", "one", b"1")
    link.send(b"R", "one", b"2")
    link._socket.sendall(encode_message(b"P", "one", b"cut short")[:-1])
    late = LinkClient(bench.server.address, TOKEN + COMMANDS)  # Not accepted yet.
    late.send(b"P", "one", b"3")
    link.close()
    late.close()
    drained: list[tuple[bytes, list[Message]]] = []
    bench._loop.post(lambda: drained.extend(bench.server.drain()))
    go_on.set()
    bench.call(lambda: None)
    received = [message for _, message in bench.received]
    received += [message for _, messages in drained for message in messages]
    assert sorted(m.body for m in received) == [b"1", b"2", b"3"]
    assert not bench.call(lambda: bench.server.is_connected(TASKS))


@pytest.mark.parametrize("data", [b"w" * 17, b"GET / HTTP/1.1\r\n\r\n", TOKEN[:-1] + b"x" + TASKS])
def test_connection_without_the_token_is_closed_and_its_messages_are_dropped(
    bench: Bench, data: bytes
) -> None:
    sock = connect(bench, data + encode_message(b"R", "one", b"forged"))
    with contextlib.suppress(ConnectionError), sock:  # Unread data at a close resets it.
        assert sock.recv(1) == b""
    assert bench.call(lambda: bench.received) == []
    assert not bench.greetings


def test_silent_connections_do_not_block_the_worker(bench: Bench) -> None:
    waiting = [connect(bench, TOKEN[:5]) for _ in range(40)]
    link = bench.link()
    link.send(b"Y")
    bench.wait_for(lambda: bench.received)
    assert waiting[0].recv(1) == b"", "the oldest of many is dropped"
    waiting[-1].sendall(TOKEN[5:] + COMMANDS)  # A slow worker.
    bench.wait_for(lambda: COMMANDS in bench.greetings)
    for sock in waiting:
        sock.close()
    link.close()


def test_connections_of_the_previous_worker_are_closed(bench: Bench) -> None:
    link = bench.link()
    bench.call(lambda: bench.server.set_token(b"n" * 16))
    with pytest.raises(LinkClosed):
        link.receive()
    link.close()
    bench.call(lambda: bench.server.send(TASKS, b"A", "one", b"{}"))  # Without a connection.
    with connect(bench, TOKEN + TASKS) as sock:
        assert sock.recv(1) == b""
    assert bench.received == []


def test_send_to_a_closed_connection_raises_nothing(bench: Bench) -> None:
    link = bench.link()
    link.close()
    for _ in range(10):
        bench.call(lambda: bench.server.send(TASKS, b"A", "one", LONG))
    bench.call(lambda: None)


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"\xff" * 20, "a message of 18,446,744,073,709,551,615 bytes"),
        (encode_message(b"R", "one", LONG + b"!"), f"a message of {MAX_BYTES + 1:,} bytes"),
        (encode_message(b"P", "one").replace(b"one", b"\xfene"), "invalid execution id"),
    ],
)
def test_invalid_message_closes_only_its_own_connection(
    bench: Bench, garbage: bytes, reason: str
) -> None:
    link, other = bench.link(), bench.link(COMMANDS)
    link.send(b"P", "one", b"1")
    with contextlib.suppress(OSError):  # The server may close it before all is sent.
        link._socket.setblocking(True)
        link._socket.sendall(garbage)
    bench.wait_for(lambda: bench.invalid)
    assert bench.invalid[0][0] == TASKS
    assert reason in bench.invalid[0][1]
    assert not bench.call(lambda: bench.server.is_connected(TASKS))
    other.send(b"Y")
    bench.wait_for(lambda: (COMMANDS, Message(b"Y", "", b"")) in bench.received)
    assert (TASKS, Message(b"P", "one", b"1")) in bench.received
    link.close()
    other.close()


def test_accept_is_retried_after_a_pause_when_no_descriptor_is_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = 0
    accept = socket.socket.accept

    def accept_later(listener: socket.socket) -> object:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(link_server, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(socket.socket, "accept", accept_later)
    link = bench.link()
    assert "cannot accept worker connection: [Errno 24] Too many open files" in caplog.text
    assert tries <= 4, "no pause between the tries"
    link.close()


def test_suppressed_log_lines_are_counted_at_the_close(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: socket.socket) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(link_server, "LimitedLog", partial(LimitedLog, clock=lambda: 0.0))
    monkeypatch.setattr(socket.socket, "accept", fail)
    loop = Loop()
    links = LinkServer(
        loop, None, lambda purpose: None, lambda purpose, messages: None, lambda *_: None, MAX_BYTES
    )
    for _ in range(3):
        links.drain()
        links._resume_accepting()
    links.close()
    loop.close()
    assert "worker connections: 2 more since" in caplog.text


def test_error_of_a_callback_is_not_mistaken_for_a_socket_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(purpose: bytes) -> None:
        raise FileNotFoundError("the greeting's own")

    failures: list[OSError] = []
    accept = bench.server._accept

    def accept_and_collect() -> None:
        try:
            accept()
        except OSError as error:
            failures.append(error)

    def prepare() -> None:
        fd = bench.server._listener.fileno()
        bench._loop.remove_reader(fd)
        bench._loop.add_reader(fd, lambda: None)
        monkeypatch.setattr(bench.server, "_on_greeting", fail)

    bench.call(prepare)
    link = LinkClient(bench.server.address, TOKEN + TASKS)
    bench.call(accept_and_collect)
    assert [str(error) for error in failures] == ["the greeting's own"]
    link.close()
