"""Readiness of one socket, by `poll` or, on Windows, by `select`."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator

import pytest

from zmqruntime.execution.worker.sockets import Readiness

PATIENCE = 30.0
AT_ONCE = 0.0

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["poll", "select"])
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    if request.param == "select":
        monkeypatch.delattr(select, "poll", raising=False)
    elif not hasattr(select, "poll"):
        pytest.skip("poll is not available")
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def fill(sock: socket.socket) -> int:
    """Send until the buffer is full; return the number of bytes."""
    sent = 0
    try:
        while True:
            sent += sock.send(b"x" * 65_536)
    except BlockingIOError:
        return sent


def test_wait_for_data_ends_at_its_arrival(pair: Pair) -> None:
    ours, theirs = pair
    readable = Readiness(ours)
    assert not readable.wait(AT_ONCE)
    sender = threading.Timer(0.05, theirs.send, (b"1",))
    sender.start()
    assert readable.wait(PATIENCE)
    assert ours.recv(8) == b"1"
    sender.join()


def test_wait_for_data_ends_at_a_close(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert Readiness(ours).wait()


def test_wait_for_buffer_space_ends_when_the_peer_reads(pair: Pair) -> None:
    ours, theirs = pair
    writable = Readiness(ours, write=True)
    assert writable.wait(AT_ONCE)
    sent = fill(ours)
    assert not writable.wait(AT_ONCE)

    def read_all() -> None:
        left = sent
        while left:
            left -= len(theirs.recv(2**20))

    reader = threading.Timer(0.05, read_all)
    reader.start()
    assert writable.wait(PATIENCE)
    reader.join()
