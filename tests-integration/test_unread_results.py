"""Unread replies cost a server a bounded amount of memory and log lines."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
import zmq
from places import Place
from waiting import PATIENCE, eventually

from zmqruntime.execution import ExecutionClient
from zmqruntime.messages import JsonValue
from zmqruntime.transport import TransportMode

RESULT_BYTES = 4 * 2**20
MAX_UNREAD_BYTES = 32 * 2**20
GROWTH_BYTES = 80e6
"""A bound for the unread replies, some messages, and memory that the allocator keeps."""
REQUESTS = 100


def length(result: JsonValue) -> int:
    assert isinstance(result, str)
    return len(result)


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place(max_unread_bytes=MAX_UNREAD_BYTES)


@pytest.fixture
def peer(place: Place) -> Iterator[zmq.Socket[bytes]]:
    """A peer whose receive queue holds one reply, and that reads none on its own."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.rcvhwm, peer.sndhwm, peer.rcvtimeo, peer.linger = 1, 0, int(PATIENCE * 1000), 0
        peer.connect(place.endpoint.control_address)
        yield peer


def send(peer: zmq.Socket[bytes], **fields: Any) -> None:
    peer.send_multipart([b"", json.dumps(fields).encode()])


def memory(client: ExecutionClient) -> int:
    process = client.ping().process
    size: int = psutil.Process(process.pid).memory_info().rss
    return size


def test_memory_for_unread_long_results_is_bounded_and_all_arrive_later(
    place: Place, peer: zmq.Socket[bytes]
) -> None:
    client = place.client("Workshop")
    task = {"do": "letters", "count": RESULT_BYTES}
    client.submit_execution(task, execution_id="long").result(PATIENCE)
    before = memory(client)
    for number in range(REQUESTS):
        send(peer, type="status", execution_id="long", request_id=str(number))
    # Other clients get replies meanwhile, so the server has handled all requests before.
    for _ in range(20):
        assert length(client.get_record("long").result) == RESULT_BYTES
    assert memory(client) - before < GROWTH_BYTES
    replies = (json.loads(peer.recv_multipart()[-1]) for _ in range(REQUESTS))
    assert [reply["request_id"] for reply in replies] == [str(n) for n in range(REQUESTS)]


def test_memory_for_held_replies_with_a_long_result_is_bounded(
    place: Place, peer: zmq.Socket[bytes]
) -> None:
    client = place.client("Workshop")
    client.execute({"do": "echo"}, timeout=PATIENCE)
    before = memory(client)
    gate = place.directory / "gate"
    blocking = client.submit_execution({"do": "wait_for", "path": str(gate)})
    client.submit_execution({"do": "letters", "count": RESULT_BYTES}, execution_id="long")
    for number in range(REQUESTS):
        send(peer, type="status", execution_id="long", wait_seconds=60, request_id=str(number))
    send(peer, type="ping")
    assert json.loads(peer.recv_multipart()[-1])["type"] == "pong"  # The others are held.
    gate.touch()
    blocking.wait(PATIENCE)
    assert length(client.get_record("long", wait_seconds=60).result) == RESULT_BYTES
    assert memory(client) - before < GROWTH_BYTES
    replies = [json.loads(peer.recv_multipart()[-1]) for _ in range(REQUESTS)]
    assert {reply["execution"]["status"] for reply in replies} == {"complete"}
    assert {reply["request_id"] for reply in replies} == {str(n) for n in range(REQUESTS)}


def read_log(place: Place) -> str:
    return "".join(path.read_text() for path in place.directory.rglob("*.log") if path.is_file())


def test_flood_of_requests_with_unread_replies_logs_a_few_lines(
    make_place: Callable[..., Place],
) -> None:
    place = make_place(transport=TransportMode.TCP, max_unread_bytes=2**20)
    client = place.client("Workshop")
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    request = b'{"type":"log_tail","execution_id":"none"}'
    message = b"\x01\x00" + bytes([0, len(request)]) + request
    with socket.socket() as flood:
        flood.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        flood.connect(("127.0.0.1", place.endpoint.control_port))
        flood.settimeout(PATIENCE)
        flood.sendall(greeting)
        flood.recv(64)
        flood.sendall(bytes([4, len(ready)]) + ready)
        flood.recv(
            256
        )  # The server's READY; libzmq disconnects a peer that sends messages before it.

        def drops_requests() -> bool:
            flood.sendall(message * 2000)
            return "request dropped" in read_log(place)

        eventually(drops_requests, "the server drops requests")
        client.ping()
    lines = [line for line in read_log(place).splitlines() if " dropped" in line]
    assert len(lines) < 10, lines[:10]
    assert all(re.search("request dropped|requests dropped", line) for line in lines)
