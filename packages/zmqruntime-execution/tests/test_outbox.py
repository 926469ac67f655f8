"""Progress goes out while the server takes it, and holds up nobody for long when it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from zmqruntime.execution.worker.outbox import HIGH_WATER_MARK, ProgressOutbox

MARK = 10


@pytest.fixture
def link() -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    """A worker's end and a server's end; on each, few messages may wait."""
    context: zmq.Context[Any] = zmq.Context()
    server, worker = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    server.rcvhwm = worker.sndhwm = MARK
    server.bind("inproc://link")
    worker.connect("inproc://link")
    yield worker, server
    context.destroy(linger=0)


def bodies(server: zmq.Socket[bytes]) -> list[int]:
    found = []
    while server.poll(0):
        found.append(int(server.recv_multipart()[-1]))
    return found


def test_a_link_has_a_bound() -> None:
    assert 0 < HIGH_WATER_MARK <= 10_000


def test_what_the_server_takes_is_all_sent(link: Any) -> None:
    worker, server = link
    outbox = ProgressOutbox(worker)
    taken: list[int] = []
    for n in range(100):
        outbox.send(b"P", b"%d" % n)
        taken += bodies(server)
    assert taken == list(range(100))


def test_a_server_that_takes_nothing_is_waited_for_once_and_then_no_more(link: Any) -> None:
    worker, server = link
    outbox = ProgressOutbox(worker, patience_ms=200)
    began = time.monotonic()
    for n in range(10_000):
        outbox.send(b"P", b"%d" % n)
    assert 0.2 <= time.monotonic() - began < 5.0
    assert bodies(server) == list(range(2 * MARK))


def test_the_latest_is_not_lost_when_there_is_room_again(link: Any) -> None:
    worker, server = link
    outbox = ProgressOutbox(worker, patience_ms=10)
    for n in range(1000):
        outbox.send(b"P", b"%d" % n)
    assert bodies(server)[-1] == 2 * MARK - 1
    outbox.flush()
    outbox.flush()
    assert bodies(server) == [999]


def test_when_there_is_room_again_it_is_patient_again(link: Any) -> None:
    worker, server = link
    outbox = ProgressOutbox(worker, patience_ms=10)
    for n in range(1000):
        outbox.send(b"P", b"%d" % n)
    bodies(server)
    outbox.send(b"P", b"1000")
    outbox.flush()
    assert bodies(server) == [1000]
