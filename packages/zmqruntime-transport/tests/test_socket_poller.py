"""The poller reports all messages, also after other uses of their sockets."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS

from zmqruntime.transport.socket_poller import READ, WRITE, SocketPoller

Pair = tuple[zmq.Socket[bytes], zmq.Socket[bytes]]
Plain = tuple[socket.socket, socket.socket]


@pytest.fixture
def poller() -> Iterator[SocketPoller]:
    poller = SocketPoller()
    yield poller
    poller.close()


@pytest.fixture
def pair(context: zmq.Context[zmq.Socket[bytes]]) -> Pair:
    ours, other = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    ours.bind("inproc://poller")
    other.connect("inproc://poller")
    return ours, other


@pytest.fixture
def plain() -> Iterator[Plain]:
    ours, other = socket.socketpair()
    with ours, other:
        yield ours, other


def settle(poller: SocketPoller) -> None:
    """Poll until nothing is reported; a connect may be reported, too."""
    while poller.poll(0.05):
        pass


@pytest.fixture
def watched(poller: SocketPoller, pair: Pair) -> Pair:
    """Register the first socket of a pair, and poll until nothing is reported."""
    poller.register(pair[0])
    settle(poller)
    return pair


def test_message_is_reported_until_it_is_read(poller: SocketPoller, watched: Pair) -> None:
    ours, other = watched
    other.send(b"1")
    for _ in range(3):
        assert poller.poll(PATIENCE_SECONDS) == {ours: READ}
    assert ours.recv() == b"1"
    settle(poller)


def test_message_is_reported_after_another_use_of_the_socket(
    poller: SocketPoller, watched: Pair
) -> None:
    ours, other = watched
    other.send(b"1")
    other.send(b"2")
    assert poller.poll(PATIENCE_SECONDS) == {ours: READ}
    assert ours.recv() == b"1"  # This processes the signal of the second message, too.
    poller.send(ours, b"back")
    assert poller.poll(PATIENCE_SECONDS) == {ours: READ}


def test_message_is_reported_after_a_send_on_the_socket(
    poller: SocketPoller, watched: Pair
) -> None:
    ours, other = watched
    other.send(b"1")
    assert select.select([int(ours.getsockopt(zmq.FD))], [], [], PATIENCE_SECONDS)[0]
    time.sleep(0.01)  # A send processes the signals of messages, once in a few milliseconds.
    poller.send(ours, b"back")
    assert poller.poll(PATIENCE_SECONDS) == {ours: READ}


def test_waiting_poll_returns_for_a_message(poller: SocketPoller, watched: Pair) -> None:
    ours, other = watched
    sender = threading.Timer(0.05, other.send, (b"1",))
    sender.start()
    assert poller.poll(float("inf")) == {ours: READ}
    sender.join()


def test_plain_and_zeromq_sockets_are_reported_together(
    poller: SocketPoller, pair: Pair, plain: Plain
) -> None:
    poller.register(pair[0])
    poller.register(plain[0].fileno())
    settle(poller)
    plain[1].send(b"1")
    assert poller.poll(PATIENCE_SECONDS) == {plain[0].fileno(): READ}
    pair[1].send(b"1")
    assert poller.poll(PATIENCE_SECONDS) == {pair[0]: READ, plain[0].fileno(): READ}
    poller.unregister(plain[0].fileno())
    assert poller.poll(PATIENCE_SECONDS) == {pair[0]: READ}
    poller.unregister(pair[0])
    assert poller.poll(0.0) == {}


def test_writability_is_reported_on_request(poller: SocketPoller, plain: Plain) -> None:
    fd = plain[0].fileno()
    poller.register(fd)
    poller.modify(fd, READ | WRITE)
    assert poller.poll(PATIENCE_SECONDS) == {fd: WRITE}
    poller.modify(fd, READ)
    assert poller.poll(0.0) == {}


def test_wait_is_never_shorter_than_its_timeout(poller: SocketPoller, plain: Plain) -> None:
    poller.register(plain[0].fileno())
    begun = time.monotonic()
    assert poller.poll(0.0101) == {}
    assert time.monotonic() - begun >= 0.0101


def test_any_timeout_is_valid(poller: SocketPoller, plain: Plain) -> None:
    poller.register(plain[0].fileno())
    plain[1].send(b"1")
    assert poller.poll(1e300) == {plain[0].fileno(): READ}
