"""Sockets, envelopes and message sizes on the control and data channels."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import time

import pytest
import zmq

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.target import Settings
from zmqruntime.testing.conformance.transcript import Violation, decode_strictly

checks = pytest.mark.checks

PING = b'{"type":"ping"}'
LONGEST = 128 * 2**20


@checks("C-001")
def check_sub_socket_receives_events(peer: Peer) -> None:
    peer.register()
    assert peer.events_to_end(peer.submit("echo", value=1))


@checks("C-002")
@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER], ids=["REQ", "DEALER"])
def check_req_and_dealer_sockets_receive_replies(peer: Peer, kind: int) -> None:
    sock = peer.open(kind)
    sock.connect(peer.target.control)
    sock.send_multipart([PING] if kind == zmq.REQ else [b"", PING])
    assert decode_strictly(peer.receive(sock)[-1])["type"] == "pong"


@checks("C-004")
def check_socket_directory_is_private(settings: Settings) -> None:
    if not settings.target.is_ipc or os.name != "posix":
        pytest.skip("the transport is not ipc, or the system is not POSIX")
    directory = os.path.dirname(settings.target.data.removeprefix("ipc://"))  # noqa: PTH120
    mode = stat.S_IMODE(os.stat(directory).st_mode)  # noqa: PTH116
    assert mode == 0o700, f"the mode of {directory} is {mode:04o}"


@checks("C-005")
@pytest.mark.parametrize("envelope", [[b""], [b"one", b""], [b"one", b"two", b""]], ids=len)
def check_envelope_is_returned(peer: Peer, envelope: list[bytes]) -> None:
    peer.control.send_multipart([*envelope, PING])
    frames = peer.receive(peer.control)
    assert frames[:-1] == envelope, f"the envelope {envelope} was returned as {frames[:-1]}"


@checks("C-006")
def check_req_socket_with_correlation_receives_replies(peer: Peer) -> None:
    sock = peer.open(zmq.REQ)
    sock.setsockopt(zmq.REQ_CORRELATE, 1)
    sock.connect(peer.target.control)
    for _ in range(2):
        sock.send(PING)
        assert decode_strictly(peer.receive(sock)[-1])["type"] == "pong"


@checks("C-007")
def check_long_poll_does_not_delay_other_replies(peer: Peer, make_peer: MakePeer) -> None:
    (spinning, *_) = peer.fill_slots()
    other = make_peer()
    held = other.send_request("status", execution_id=spinning, wait_seconds=60)
    for requester in (peer, other):
        ping = requester.send_request("ping")
        requester.await_reply(ping)
        assert held.reply_frames is None, "the long poll returned first"
    peer.expect_reply("ok", "cancel", execution_id=spinning)
    other.await_held(held)


@checks("C-008", "C-040")
def check_request_of_the_maximum_size_is_accepted(peer: Peer) -> None:
    most = peer.expect_reply("pong", "ping")["max_message_bytes"]
    if most > LONGEST:
        pytest.skip("the size limit of the server is too large to test")
    task = {"do": "echo", "value": 1}
    request = {"type": "execute", "client_id": peer.name, "task": task, "config": {"unused": ""}}
    room = most - len(json.dumps(request))
    longest = json.dumps(request | {"config": {"unused": "x" * room}}).encode()
    assert len(longest) == most
    accepted = peer.request_frames(b"", longest)
    assert accepted["type"] == "accepted"
    peer.await_end(peer.track(accepted))


@checks("C-231")
@pytest.mark.parametrize("envelope", [[b"hop"] * 15 + [b""], [b"x" * 4096, b""]], ids=len)
def check_long_envelope_is_rejected(peer: Peer, envelope: list[bytes]) -> None:
    peer.control.send_multipart([*envelope, PING])
    *returned, frame = peer.receive(peer.control)
    assert returned == [b""]
    assert decode_strictly(frame)["code"] == "malformed"


@checks("C-009")
def check_oversized_request_closes_the_connection(peer: Peer, make_peer: MakePeer) -> None:
    most = peer.expect_reply("pong", "ping")["max_message_bytes"]
    if most > LONGEST:
        pytest.skip("the size limit of the server is too large to test")
    other = make_peer()
    other.send(b"", PING.ljust(most + 1))
    if not other.await_disconnect():
        raise Violation(f"the connection is open after a request of {most + 1:,} bytes")
    assert not other.receive_reply(time.monotonic()), "the oversized request got a reply"


@checks("C-010")
def check_long_subscription_is_harmless(peer: Peer) -> None:
    peer.subscribe("x" * 1000)
    peer.register()
    assert peer.events_to_end(peer.submit("echo", value=1))


@checks("C-220")
def check_zmtp_1_peer_receives_no_reply(peer: Peer) -> None:
    with connect_plainly(peer.target.control, peer.patience) as old:
        # ZMTP 1.0: each frame (identity, delimiter, request) is preceded by length and flags.
        old.sendall(b"\x01\x00" + b"\x01\x01" + bytes([len(PING) + 1, 0]) + PING)
        received = b""
        with contextlib.suppress(ConnectionError):  # A reset closes the connection as well.
            while chunk := old.recv(4096):
                received += chunk
    assert b"pong" not in received


def connect_plainly(address: str, seconds: float) -> socket.socket:
    """Return a plain socket that is connected to a ZeroMQ address."""
    transport, _, name = address.partition("://")
    if transport == "tcp":
        host, _, port = name.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), seconds)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    plain.settimeout(seconds)
    plain.connect(name)
    return plain
