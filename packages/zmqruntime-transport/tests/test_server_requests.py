"""Requests: exactly one reply to each, also to invalid ones."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from transport_peers import Json, OpenServer, RawPeer, eventually

from zmqruntime.messages import (
    MAX_REQUEST_BYTES,
    DecodeError,
    ErrorCode,
    Incoming,
    JsonObject,
    PingRequest,
)
from zmqruntime.transport import Caller, ServerSession, ZMQConfig, ZMQServer
from zmqruntime.transport.server.binding import count_read_ahead

BareContext = zmq.Context[zmq.Socket[bytes]]

PING: Json = {"type": "ping"}


@pytest.fixture
def other(server: OpenServer, context: BareContext) -> RawPeer:
    """A second peer, which must not be affected."""
    return RawPeer(context, zmq.REQ, server.endpoint.control_address)


# -- ping ------------------------------------------------------------------------------------


def test_pong_has_identity_and_state_of_the_server(server: OpenServer, dealer: RawPeer) -> None:
    pong = dealer.ask({"type": "ping", "request_id": "7"})
    assert (pong["type"], pong["status"], pong["protocol"]) == ("pong", "ok", 1)
    assert pong["request_id"] == "7"
    assert pong["ready"] is True
    assert pong["server"] == "OpenServer"
    assert pong["version"]
    assert pong["port"] == server.port
    assert pong["control_port"] == server.port + server.config.control_port_offset
    assert pong["process"]["pid"] == os.getpid()
    assert pong["uptime_seconds"] >= 0
    assert pong["max_message_bytes"] == server.config.max_message_bytes
    assert pong["progress_subscribers"] == []
    assert (pong["log_file_path"], pong["details"]) == (None, {})


def test_plain_req_sockets_are_served(server: OpenServer, context: BareContext) -> None:
    peer = RawPeer(context, zmq.REQ, server.endpoint.control_address)
    assert all(peer.ask(PING)["type"] == "pong" for _ in range(3))


def test_req_sockets_that_correlate_are_served(server: OpenServer, context: BareContext) -> None:
    peer = RawPeer(context, zmq.REQ, server.endpoint.control_address)
    peer.socket.setsockopt(zmq.REQ_CORRELATE, 1)
    peer.socket.setsockopt(zmq.REQ_RELAXED, 1)
    peer.send({"type": "ping", "request_id": "forgotten"})
    assert peer.ask({"type": "ping", "request_id": "asked"})["request_id"] == "asked"


def test_peers_behind_a_proxy_are_served(server: OpenServer, context: BareContext) -> None:
    front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    front.bind("inproc://front")
    back.connect(server.endpoint.control_address)
    poller = zmq.Poller()
    poller.register(front, zmq.POLLIN)
    poller.register(back, zmq.POLLIN)
    peers = [RawPeer(context, zmq.REQ, "inproc://front") for _ in range(3)]
    for number, peer in enumerate(peers):
        peer.send({"type": "ping", "request_id": str(number)})
    for _ in range(6):
        for sock, _event in poller.poll(10_000):
            (back if sock is front else front).send_multipart(sock.recv_multipart())
    assert [peer.receive()["request_id"] for peer in peers] == ["0", "1", "2"]


def test_peer_may_pipeline_requests_and_read_late(dealer: RawPeer) -> None:
    count = 5000
    for number in range(count):
        dealer.send({"type": "ping", "request_id": str(number)})
    assert [dealer.receive()["request_id"] for _ in range(count)] == [*map(str, range(count))]


# -- invalid requests ------------------------------------------------------------

DEEP = b'{"type":"ping","request_id":' + b"[" * 500 + b"]" * 500 + b"}"


@pytest.mark.parametrize(
    ("frame", "code", "text"),
    [
        (b"", "malformed", "not JSON"),
        (b"hello", "malformed", "not JSON"),
        (b"\xff\xfe\x00", "malformed", "not JSON"),
        (b'{"type":"ping"', "malformed", "not JSON"),
        (b'{"type":"ping"}{"type":"ping"}', "malformed", "not JSON"),
        (b'{"type":"ping","limit":NaN}', "malformed", "not JSON"),
        (b'{"type":"ping","limit":Infinity}', "malformed", "not JSON"),
        (DEEP, "malformed", "not JSON"),
        (b"[]", "malformed", "not an object"),
        (b'"ping"', "malformed", "not an object"),
        (b"null", "malformed", "not an object"),
        (b"{}", "invalid_request", "type"),
        (b'{"type":7}', "invalid_request", "type"),
        (b'{"type":"launch"}', "unknown_type", "launch"),
        (b'{"type":"ping","protocol":2}', "unsupported_protocol", "protocol version 2"),
        (b'{"type":"ping","limt":3}', "invalid_request", "limt"),
        (b'{"type":"ping","limit":"3"}', "invalid_request", "limit"),
        (b'{"type":"ping","limit":-1}', "invalid_request", "limit"),
        (b'{"type":"ping","limit":1e999}', "invalid_request", "limit"),
        (b'{"type":"register_progress"}', "invalid_request", "client_id"),
        (b'{"type":"register_progress","client_id":"a/b"}', "invalid_request", "client_id"),
        (b'{"type":"register_progress","client_id":"a","scope":"x"}', "invalid_request", "scope"),
        (b'{"type":"shutdown","mode":"later"}', "invalid_request", "mode"),
        (b'{"type":"status"}', "unknown_type", "OpenServer) takes no status requests"),
        (b'{"type":"cancel","execution_id":"x"}', "unknown_type", "takes no cancel requests"),
    ],
)
def test_invalid_request_gets_an_error_and_the_server_continues(
    dealer: RawPeer, other: RawPeer, frame: bytes, code: str, text: str
) -> None:
    reply = dealer.ask(frame)
    assert (reply["type"], reply["status"], reply["code"]) == ("error", "error", code)
    assert text in reply["message"]
    assert dealer.ask(PING)["type"] == other.ask(PING)["type"] == "pong"


def test_error_reply_has_the_request_id_if_it_is_readable(dealer: RawPeer) -> None:
    wrong: list[Json] = [
        {"type": "launch"},
        {"type": "status"},
        {"type": "ping", "limt": 3},
        {"type": "ping", "protocol": 9},
    ]
    for request in wrong:
        assert dealer.ask({**request, "request_id": "mine"})["request_id"] == "mine"


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([b'{"type":"ping"}'], "delimiter"),
        ([b""], "this one has 0"),
        ([b"", b'{"type":"ping"}', b"more"], "this one has 2"),
        ([b"", b"", b'{"type":"ping"}'], "this one has 2"),
        ([b"a", b"b", b"c"], "delimiter"),
    ],
)
def test_message_with_invalid_frames_gets_an_error(
    dealer: RawPeer, other: RawPeer, frames: list[bytes], text: str
) -> None:
    dealer.socket.send_multipart(frames)
    reply = dealer.receive()
    assert (reply["code"], text in reply["message"]) == ("malformed", True)
    assert dealer.ask(PING)["type"] == other.ask(PING)["type"] == "pong"


def test_frame_beyond_the_limit_ends_its_connection_only(
    server: OpenServer, dealer: RawPeer, other: RawPeer
) -> None:
    assert dealer.ask(PING)["type"] == "pong"
    monitor = dealer.socket.get_monitor_socket(zmq.Event.DISCONNECTED)
    dealer.socket.send_multipart([b"", b" " * 100_000_000])
    assert monitor.poll(30_000)
    assert other.ask(PING)["type"] == "pong"
    dealer.socket.disable_monitor()
    monitor.close(linger=0)


def test_message_of_the_maximum_length_is_accepted(config: ZMQConfig, context: BareContext) -> None:
    small = ZMQConfig(runtime_dir=config.runtime_dir, max_message_bytes=2**17)
    with ZMQServer(config=small) as server:
        peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        head, tail = b'{"type":"execute","client_id":"a","task":{"x":"', b'"}}'
        frame = head + b"x" * (2**17 - len(head + tail)) + tail
        assert peer.ask(frame)["code"] == "unknown_type"  # It was read; this server runs no tasks.
        monitor = peer.socket.get_monitor_socket(zmq.Event.DISCONNECTED)
        peer.send(frame + b" ")
        assert monitor.poll(30_000)
        peer.socket.disable_monitor()
        monitor.close(linger=0)


def test_request_without_its_task_has_a_lower_bound(server: OpenServer, other: RawPeer) -> None:
    assert other.ask(b'{"type":"ping"}'.ljust(MAX_REQUEST_BYTES))["type"] == "pong"
    refused = other.ask(b'{"type":"ping"}'.ljust(MAX_REQUEST_BYTES + 1))
    assert (refused["code"], refused["request_id"]) == ("too_large", None)
    assert "the ping request has 65,537 bytes; the maximum is 65,536" in refused["message"]


@pytest.mark.parametrize(
    ("max_message_bytes", "count"), [(2**17, 1000), (2**24, 16), (2**26, 16), (2**20, 256)]
)
def test_read_ahead_of_a_peer_is_bounded_in_bytes(max_message_bytes: int, count: int) -> None:
    assert count_read_ahead(max_message_bytes) == count


def test_clients_that_send_and_die_leave_no_memory_behind(
    server: OpenServer, context: BareContext, other: RawPeer
) -> None:
    for request in ({"type": "ping"}, {"type": "register_progress", "client_id": "gone"}):
        for _ in range(20):
            peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
            peer.send(request)
            peer.socket.close(linger=1000)
    assert other.ask(PING)["type"] == "pong"


# -- errors of the application ------------------------------------------------------


class DescribingServer(ZMQServer):
    details: Callable[[], Any] = dict

    def describe(self) -> JsonObject:
        result: JsonObject = type(self).details()
        return result


def raise_with_lone_surrogate() -> Any:
    raise LookupError("half a character: \ud800")


@pytest.mark.parametrize(
    "details",
    [raise_with_lone_surrogate, lambda: {"x": float("nan")}, lambda: {"x": object()}, lambda: "x"],
    ids=["raises", "NaN", "no JSON", "no object"],
)
def test_failing_handler_is_answered_with_internal(
    config: ZMQConfig,
    context: BareContext,
    caplog: pytest.LogCaptureFixture,
    details: Callable[[], Any],
) -> None:
    class Broken(DescribingServer):
        pass

    Broken.details = staticmethod(details)
    with Broken(config=config) as server:
        peer = RawPeer(context, zmq.REQ, server.endpoint.control_address)
        reply = peer.ask({"type": "ping", "request_id": "7"})
        assert (reply["code"], reply["request_id"]) == ("internal", "7")
        assert "its log has more" in reply["message"]
        assert "a request could not be answered" in caplog.text
        Broken.details = staticmethod(lambda: {"fine": True})
        assert peer.ask(PING)["details"] == {"fine": True}


# -- held pings -----------------------------------------------


class SlowSession(ServerSession):
    is_ready = False

    @property
    def ready(self) -> bool:
        return self.is_ready

    def become_ready(self) -> None:
        self.is_ready = True
        self.became_ready()


class SlowServer(OpenServer):
    """A session whose readiness the test sets."""

    def make_session(self) -> ServerSession:
        self.session: SlowSession = SlowSession(
            "Slow", "0", self.endpoint, self.config, describe=self.describe
        )
        return self.session


@pytest.fixture
def slow_server(config: ZMQConfig) -> Iterator[SlowServer]:
    with SlowServer(config=config) as started:
        yield started


def test_held_pings_are_answered_in_several_rounds(
    slow_server: SlowServer, context: BareContext
) -> None:
    peer = RawPeer(context, zmq.DEALER, slow_server.endpoint.control_address)
    for _ in range(1000):
        peer.send({"type": "ping", "wait_seconds": 60})
    assert not peer.ask({"type": "ping", "request_id": "now"})["ready"]
    slow_server.session.loop.post(slow_server.session.become_ready)
    assert all(peer.receive()["ready"] for _ in range(1000))


def test_ping_may_wait_until_the_server_is_ready(
    slow_server: SlowServer, context: BareContext
) -> None:
    peer = RawPeer(context, zmq.DEALER, slow_server.endpoint.control_address)
    peer.send({"type": "ping", "wait_seconds": 60, "request_id": "waits"})
    now = peer.ask({"type": "ping", "request_id": "now"})
    assert (now["request_id"], now["ready"]) == ("now", False)
    slow_server.session.loop.post(slow_server.session.become_ready)
    then = peer.receive()
    assert (then["request_id"], then["ready"]) == ("waits", True)


def test_held_ping_gets_not_ready_after_its_timeout(
    slow_server: SlowServer, context: BareContext
) -> None:
    peer = RawPeer(context, zmq.DEALER, slow_server.endpoint.control_address)
    assert peer.ask({"type": "ping", "wait_seconds": 0.02})["ready"] is False


def test_pings_without_request_ids_get_a_reply_each(
    slow_server: SlowServer, context: BareContext
) -> None:
    peer = RawPeer(context, zmq.DEALER, slow_server.endpoint.control_address)
    for _ in range(3):
        peer.send({"type": "ping", "wait_seconds": 0.02})
    assert [peer.receive()["ready"] for _ in range(3)] == [False] * 3
    for _ in range(3):
        peer.send({"type": "ping", "wait_seconds": 60})
    assert peer.ask(PING)["ready"] is False
    slow_server.session.loop.post(slow_server.session.become_ready)
    assert [peer.receive()["ready"] for _ in range(3)] == [True] * 3


def test_held_ping_is_answered_at_the_end_of_the_server(
    slow_server: SlowServer, context: BareContext
) -> None:
    peer = RawPeer(context, zmq.DEALER, slow_server.endpoint.control_address)
    peer.send({"type": "ping", "wait_seconds": 60})
    assert peer.ask(PING)["ready"] is False
    slow_server.stop()
    assert peer.receive()["ready"] is False


def test_failing_pong_of_a_held_ping_does_not_end_the_server(
    config: ZMQConfig, context: BareContext, caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenAndSlow(SlowServer):
        def describe(self) -> JsonObject:
            raise LookupError("no details")

    with BrokenAndSlow(config=config) as server:
        peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        assert peer.ask({"type": "ping", "wait_seconds": 0.01})["code"] == "internal"
        assert peer.ask({"type": "ping"})["code"] == "internal"


# -- derived sessions ----------------------------------------------------------


def test_derived_session_handles_more_requests_and_may_reply_later(
    config: ZMQConfig, context: BareContext
) -> None:
    callers: list[Caller] = []

    class Collecting(ServerSession):
        def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> None:
            if isinstance(request, PingRequest):
                super().handle_request(request, caller, frame)
            else:
                callers.append(caller)

    class Server(OpenServer):
        def make_session(self) -> ServerSession:
            self.session = Collecting("Collecting", "0", self.endpoint, self.config)
            return self.session

    with Server(config=config) as server:
        peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        for number in range(3):
            peer.send({"type": "status", "request_id": str(number)})
        assert peer.ask(PING)["type"] == "pong"  # A held reply does not delay a ping.

        def answer_all() -> None:
            for caller in reversed(callers):
                server.session.refuse(caller, ErrorCode.CONFLICT, "later")

        server.in_loop(answer_all)
        assert [peer.receive()["request_id"] for _ in range(3)] == ["2", "1", "0"]


def test_derived_session_may_refuse_a_request(config: ZMQConfig, context: BareContext) -> None:
    class Strict(ServerSession):
        def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> None:
            raise DecodeError(ErrorCode.INVALID_REQUEST, "not on Sundays")

    class Server(OpenServer):
        def make_session(self) -> ServerSession:
            self.session = Strict("Strict", "0", self.endpoint, self.config)
            return self.session

    with Server(config=config) as server:
        peer = RawPeer(context, zmq.REQ, server.endpoint.control_address)
        reply = peer.ask({"type": "ping", "request_id": "7"})
        assert (reply["code"], reply["message"]) == ("invalid_request", "not on Sundays")
        assert reply["request_id"] == "7"
        assert not server.session.context.closed
    assert server.session.context.closed


def test_flood_from_one_peer_does_not_starve_another(
    server: OpenServer, dealer: RawPeer, other: RawPeer
) -> None:
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            for _ in range(100):
                dealer.send(PING)
            for _ in range(100):
                dealer.receive()

    flooding = threading.Thread(target=flood)
    flooding.start()
    assert all(other.ask(PING)["type"] == "pong" for _ in range(50))
    stop.set()
    flooding.join()


def test_replies_that_a_peer_never_reads_are_dropped_with_one_log_line(
    config: ZMQConfig,
    context: BareContext,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmqruntime.transport.server.binding._MAX_UNREAD_REPLIES", 10)
    with ZMQServer(config=config) as server:
        deaf = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        deaf.socket.rcvhwm = 1
        deaf.socket.sndhwm = 0
        frame = json.dumps({"type": "ping", "request_id": "x" * 100_000}).encode()
        other = RawPeer(context, zmq.REQ, server.endpoint.control_address)

        def was_told() -> bool:
            for _ in range(20):
                deaf.send(frame)
            assert other.ask(PING)["type"] == "pong"
            return "reply dropped: the peer's queue of 10 messages is full" in caplog.text

        eventually(was_told)
