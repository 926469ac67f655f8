"""A form that a web page posts to a server's port runs no task."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest
from places import Place
from waiting import PATIENCE

from zmqruntime.transport import Endpoint, TransportMode


def connect_raw(endpoint: Endpoint, *, data: bool) -> socket.socket:
    """Return a plain connection to one of a server's sockets."""
    if endpoint.transport_mode is TransportMode.IPC:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(endpoint.data_path if data else endpoint.control_path))
    else:
        port = endpoint.port if data else endpoint.control_port
        connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(PATIENCE)
    return connection


def make_post(*frames: bytes) -> bytes:
    """Return a POST whose body is one message of ZMTP 1.0.

    In ZMTP 1.0 the first letter, "P", is the length of a frame: 79 bytes and flags. So the head is
    several frames, which the filler ends.
    """
    message = b"".join(bytes([len(frame) + 1, frame is not frames[-1]]) + frame for frame in frames)
    body = b"\x01" * 256 + b"\x02\x01\x01" + b"\x01\x00" + message
    head = (
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: text/plain\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0\r\n"
        "Origin: https://evil.example\r\nAccept: */*\r\n\r\n"
    )
    return head.encode() + body


@pytest.mark.parametrize("data", [False, True], ids=["control", "data"])
def test_form_posted_by_a_web_page_runs_no_task(either_place: Place, data: bool) -> None:
    client = either_place.client("Workshop")
    task = {"do": "echo"}
    request = {"type": "execute", "client_id": "w", "execution_id": "posted", "task": task}
    post = make_post(b"", json.dumps(request, separators=(",", ":")).encode())
    with connect_raw(either_place.endpoint, data=data) as page:
        page.sendall(post)
        ended = read_to_end(page.recv)
        snapshot = client.poll_status()
    assert b"accepted" not in ended
    assert sum(snapshot.counts.values()) == 0
    assert client.execute({"do": "echo", "value": 1}, timeout=PATIENCE) == 1


def read_to_end(receive: Callable[[int], bytes]) -> bytes:
    """Return all bytes until the server closes the connection."""
    received = b""
    try:
        while chunk := receive(4096):
            received += chunk
    except ConnectionError:
        pass  # Closed with a part of the form unread.
    return received
