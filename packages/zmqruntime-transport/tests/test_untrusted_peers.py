"""Peers without a ZMTP 3 handshake, and connections with too many subscriptions."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS, OpenServer, RawPeer, eventually

from zmqruntime.transport import TransportMode, ZMQConfig
from zmqruntime.transport.server.subscription_limits import MAX_PREFIX_BYTES, MAX_SUBSCRIPTIONS

BareContext = zmq.Context[zmq.Socket[bytes]]

SHUTDOWN = json.dumps({"type": "shutdown", "mode": "now"}).encode()


def make_v1_frames(*frames: bytes) -> bytes:
    """Return a message of ZMTP 1.0: length, flags and body of each frame."""
    more = [1] * (len(frames) - 1) + [0]
    return b"".join(
        bytes([len(frame) + 1, flag]) + frame for frame, flag in zip(frames, more, strict=True)
    )


def make_v2_frames(*frames: bytes) -> bytes:
    """Return a message of ZMTP 2.0 and 3.x: flags, length and body of each frame."""
    more = [1] * (len(frames) - 1) + [0]
    return b"".join(
        bytes([flag, len(frame)]) + frame for frame, flag in zip(frames, more, strict=True)
    )


def make_http(body: bytes) -> bytes:
    """Return a POST request like that of a form on a web page."""
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: text/plain\r\nAccept: */*\r\n\r\n"
    )
    return head.encode() + body


SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
# As libzmq reads it, the header is one long first frame: its body ends the first one.
HTTP_FILLER = b"\x01" * 256
V1_ANONYMOUS = b"\x01\x00"
V2_DEALER, V2_SUB = b"\x01\x05\x00\x00", b"\x01\x02\x00\x00"
NULL_GREETING = SIGNATURE + b"\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2


def make_ready(socket_type: bytes) -> bytes:
    """Return the READY command of ZMTP 3."""
    body = b"\x05READY\x0bSocket-Type" + len(socket_type).to_bytes(4, "big") + socket_type
    return bytes([4, len(body)]) + body


CONTROL = {
    "HTTP": make_http(HTTP_FILLER + b"\x02\x01\x01" + make_v1_frames(b"", SHUTDOWN)),
    "ZMTP 1.0": V1_ANONYMOUS + make_v1_frames(b"", SHUTDOWN),
    "ZMTP 2.0": SIGNATURE + V2_DEALER + make_v2_frames(b"", SHUTDOWN),
    "ZMTP 3 without READY": NULL_GREETING + make_v2_frames(b"", SHUTDOWN),
    "ZMTP 3 with PLAIN": NULL_GREETING.replace(b"NULL\0", b"PLAIN")
    + make_ready(b"DEALER")
    + make_v2_frames(b"", SHUTDOWN),
    "TLS": TLS_HELLO,
    "no protocol": os.urandom(2000),
}
DATA = {
    "HTTP": make_http(HTTP_FILLER + b"\x02\x01\x01" + make_v1_frames(b"\x01a/")),
    "ZMTP 1.0": V1_ANONYMOUS + make_v1_frames(b"\x01a/"),
    "ZMTP 2.0": SIGNATURE + V2_SUB + make_v2_frames(b"\x01a/"),
    "ZMTP 3 without READY": NULL_GREETING + make_v2_frames(b"\x01a/"),
    "TLS": TLS_HELLO,
    "no protocol": os.urandom(2000),
}
# libzmq ends a connection only after a complete message of it.
ENDED = {"HTTP", "ZMTP 1.0", "ZMTP 2.0", "ZMTP 3 without READY", "ZMTP 3 with PLAIN"}


@pytest.fixture(params=list(TransportMode))
def open_server(request: pytest.FixtureRequest, config: ZMQConfig) -> Iterator[OpenServer]:
    if request.param is TransportMode.IPC and not zmq.has("ipc"):
        pytest.skip("no ipc there")
    with OpenServer(config=config, transport_mode=request.param) as started:
        yield started


def connect(server: OpenServer, *, data: bool = False) -> socket.socket:
    """Open a plain connection to one of a server's sockets."""
    endpoint = server.endpoint
    if endpoint.transport_mode is TransportMode.IPC:
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stranger.connect(str(endpoint.data_path if data else endpoint.control_path))
    else:
        port = endpoint.port if data else endpoint.control_port
        stranger = socket.create_connection(("127.0.0.1", port))
    stranger.settimeout(PATIENCE_SECONDS)
    return stranger


def read_until(stranger: socket.socket, expected: bytes) -> None:
    """Read until a byte has arrived."""
    received = b""
    while expected not in received:
        chunk = stranger.recv(4096)
        assert chunk, received
        received += chunk


def read_to_end(stranger: socket.socket) -> bytes:
    """Return all bytes until the peer ends the connection."""
    received = b""
    try:
        while chunk := stranger.recv(4096):
            received += chunk
    except ConnectionError:
        pass  # It ended with unread bytes of this side.
    return received


@pytest.mark.parametrize("greeting", CONTROL)
def test_request_without_a_zmtp_3_handshake_is_not_received(
    open_server: OpenServer, context: BareContext, greeting: str
) -> None:
    peer = RawPeer(context, zmq.DEALER, open_server.endpoint.control_address)
    before = peer.ask({"type": "ping"})
    with connect(open_server) as stranger:
        stranger.sendall(CONTROL[greeting])
        if greeting in ENDED:
            assert b"shutdown_ack" not in read_to_end(stranger)
        after = peer.ask({"type": "ping"})
    assert (after["type"], after["process"]) == ("pong", before["process"])
    assert open_server.session._requests == 2


@pytest.mark.parametrize("greeting", DATA)
def test_subscription_without_a_zmtp_3_handshake_is_not_received(
    open_server: OpenServer, context: BareContext, greeting: str
) -> None:
    peer = RawPeer(context, zmq.DEALER, open_server.endpoint.control_address)
    with connect(open_server, data=True) as stranger:
        stranger.sendall(DATA[greeting])
        if greeting in ENDED:
            read_to_end(stranger)
        assert peer.ask({"type": "ping"})["ready"]
        assert not open_server.session.registrations.has_subscribers


def test_bare_zmtp_3_handshake_is_accepted(open_server: OpenServer) -> None:
    ping = json.dumps({"type": "ping"}).encode()
    with connect(open_server) as stranger:
        stranger.sendall(NULL_GREETING + make_ready(b"DEALER"))
        read_until(stranger, b"Identity")  # The last property of the server's READY.
        stranger.sendall(make_v2_frames(b"", ping))
        read_until(stranger, b'"pong"')


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER])
def test_connection_before_the_server_runs_is_authorized(
    config: ZMQConfig, context: BareContext, kind: int
) -> None:
    server = OpenServer(config=config)
    peer = RawPeer(context, kind, server.endpoint.control_address)
    peer.send({"type": "ping"})
    with server:
        assert peer.receive()["type"] == "pong"


def test_handshakes_that_arrive_while_the_loop_is_busy_complete_afterwards(
    open_server: OpenServer, context: BareContext
) -> None:
    peers: list[RawPeer] = []

    def block_loop() -> None:
        for _ in range(100):
            peers.append(RawPeer(context, zmq.DEALER, open_server.endpoint.control_address))
            peers[-1].send({"type": "ping"})

    open_server.in_loop(block_loop)
    assert [peer.receive()["type"] for peer in peers] == ["pong"] * 100


def test_server_stops_while_a_handshake_awaits_its_loop(
    open_server: OpenServer, context: BareContext
) -> None:
    with connect(open_server) as stranger:

        def end_behind_it() -> None:
            stranger.sendall(NULL_GREETING + make_ready(b"DEALER"))
            open_server.session.loop.stop()

        open_server.in_loop(end_behind_it)
        open_server.stop()
        read_to_end(stranger)


def test_two_servers_of_one_process_authorize_connections_each(
    config: ZMQConfig, context: BareContext
) -> None:
    other = ZMQConfig(
        default_port=config.default_port + 1,
        control_port_offset=config.control_port_offset + 1,
        runtime_dir=config.runtime_dir,
    )
    with OpenServer(config=config) as one, OpenServer(config=other) as two:
        for server in (one, two):
            peer = RawPeer(context, zmq.REQ, server.endpoint.control_address)
            assert peer.ask({"type": "ping"})["port"] == server.port


def test_connection_with_too_many_subscriptions_is_ended_and_no_other(
    open_server: OpenServer, context: BareContext, caplog: pytest.LogCaptureFixture
) -> None:
    session = open_server.session
    good = context.socket(zmq.SUB)
    good.rcvtimeo = int(PATIENCE_SECONDS * 1000)
    good.connect(open_server.endpoint.data_address)
    good.subscribe(b"good/")
    peer = RawPeer(context, zmq.DEALER, open_server.endpoint.control_address)
    register = {"type": "register_progress", "client_id": "good"}
    eventually(lambda: peer.ask(register)["type"] == "ok")

    greedy = context.socket(zmq.XSUB)
    greedy.sndhwm = 0
    greedy.reconnect_ivl = -1
    monitor = greedy.get_monitor_socket(zmq.Event.DISCONNECTED)
    greedy.connect(open_server.endpoint.data_address)
    for number in range(MAX_SUBSCRIPTIONS):
        greedy.send(b"\x01greedy-%d/" % number)
    assert monitor.poll(int(PATIENCE_SECONDS * 1000))
    greedy.disable_monitor()
    monitor.close()
    eventually(lambda: session._subscriptions._ledger.total == 1)
    eventually(lambda: "the most of all connections: 10000 at most" in caplog.text)
    assert peer.ask({"type": "ping"})["progress_subscribers"] == ["good"]
    open_server.in_loop(lambda: session.publish(b"good/x", b"event"))
    assert good.recv_multipart() == [b"good/x", b"event"]


def test_connection_with_too_long_prefixes_is_ended(
    open_server: OpenServer, context: BareContext
) -> None:
    odd = context.socket(zmq.XSUB)
    odd.sndhwm = 0
    odd.reconnect_ivl = -1
    monitor = odd.get_monitor_socket(zmq.Event.DISCONNECTED)
    odd.connect(open_server.endpoint.data_address)
    for number in range(MAX_PREFIX_BYTES // 1000 + 2):
        odd.send(b"\x01%d" % number + b"x" * 1000)
    assert monitor.poll(int(PATIENCE_SECONDS * 1000))
    odd.disable_monitor()
    monitor.close()
    eventually(lambda: not open_server.session.registrations.has_subscribers)


def test_ending_a_connection_spares_a_descriptor_of_something_else(
    open_server: OpenServer, runtime_dir: Path
) -> None:
    sockets = open_server.session._sockets
    assert sockets is not None
    ours, other = socket.socketpair()
    with ours, other, (runtime_dir / "file").open("wb") as file:
        for descriptor in (ours.fileno(), file.fileno(), 10_000):
            assert not sockets.end_data_connection(descriptor)
        ours.sendall(b"still there")
        assert other.recv(100) == b"still there"
        file.write(b"still there")
