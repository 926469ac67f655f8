"""One socket is waited for, by `poll` or, where a system has none, by `select`."""

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
        pytest.skip("this system has no poll")
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def fill(sock: socket.socket) -> int:
    """Send until there is no room any more; return how much that was."""
    sent = 0
    try:
        while True:
            sent += sock.send(b"x" * 65_536)
    except BlockingIOError:
        return sent


def test_what_comes_is_waited_for(pair: Pair) -> None:
    ours, theirs = pair
    readable = Readiness(ours)
    assert not readable.wait(AT_ONCE)
    sender = threading.Timer(0.05, theirs.send, (b"1",))
    sender.start()
    assert readable.wait(PATIENCE)
    assert ours.recv(8) == b"1"
    sender.join()


def test_an_end_is_waited_for_as_well(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert Readiness(ours).wait()


def test_room_is_waited_for(pair: Pair) -> None:
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
