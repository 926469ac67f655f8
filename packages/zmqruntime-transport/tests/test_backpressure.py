"""Backpressure: peers that do not read their replies, and their effect on others."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from transport_peers import OpenServer, RawPeer, eventually

from zmqruntime.messages import ErrorCode, ErrorReply, Incoming, StatusRequest
from zmqruntime.messages.lowlevel import encode_with_id
from zmqruntime.transport import Caller, ServerSession, ZMQConfig, ZMQServer

MESSAGE_BYTES = 2**20
PER_PEER, IN_ALL = 2 * MESSAGE_BYTES, 8 * MESSAGE_BYTES
SLACK_BYTES = 256 * 1024
BareContext = zmq.Context[zmq.Socket[bytes]]

PING: dict[str, Any] = {"type": "ping"}


class LongSession(ServerSession):
    """Replies to `status` with a long reply."""

    composed = 0
    most_unread = 0

    def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> None:
        if isinstance(request, StatusRequest):
            self.send_composed_reply(caller, lambda: self.compose(caller))
            self.most_unread = max(self.most_unread, self._sender.unread.total)
        else:
            super().handle_request(request, caller, frame)

    def compose(self, caller: Caller) -> bytes:
        self.composed += 1
        reply = ErrorReply(code=ErrorCode.CONFLICT, message="x" * MESSAGE_BYTES)
        return encode_with_id(reply, caller.request_id)


class LongServer(ZMQServer):
    session: LongSession

    def describe_application(self) -> None:
        """Return nothing, for short pongs."""

    def make_session(self) -> ServerSession:
        self.session = LongSession("Long", "0", self.endpoint, self.config)
        return self.session


@pytest.fixture
def server(config: ZMQConfig) -> Iterator[LongServer]:
    with LongServer(config=dataclasses.replace(config, max_unread_bytes=IN_ALL)) as server:
        yield server


def connect_slow_reader(context: BareContext, server: ZMQServer, requests: int) -> RawPeer:
    """Return a peer that has sent requests, and has read no replies."""
    peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
    peer.socket.rcvhwm = 1
    peer.socket.sndhwm = 0
    # The options apply to later connections.
    peer.socket.disconnect(server.endpoint.control_address)
    peer.socket.connect(server.endpoint.control_address)
    for number in range(requests):
        peer.send(json.dumps({"type": "status", "request_id": str(number)}).encode())
    return peer


def request_once(context: BareContext, server: ZMQServer, request: dict[str, Any]) -> Any:
    return RawPeer(context, zmq.REQ, server.endpoint.control_address).ask(request)


def unread(server: LongServer) -> int:
    return server.session._sender.unread.total


def count_postponed(server: LongServer) -> int:
    return server.session._sender.unread.postponed


def test_peer_that_reads_late_gets_all_its_replies_in_order(
    server: LongServer, context: BareContext
) -> None:
    deaf = connect_slow_reader(context, server, 60)
    eventually(lambda: count_postponed(server) > 40)
    assert server.session.composed < 20, "replies were composed for a peer that does not read"
    assert request_once(context, server, {"type": "status"})["code"] == "conflict"
    numbers = [deaf.receive()["request_id"] for _ in range(60)]
    assert numbers == [str(number) for number in range(60)]
    assert server.session.most_unread <= PER_PEER + 2 * MESSAGE_BYTES + SLACK_BYTES
    eventually(lambda: unread(server) == count_postponed(server) == 0)


def test_many_peers_that_do_not_read_are_bounded_together_and_others_get_small_replies(
    server: LongServer, context: BareContext, caplog: pytest.LogCaptureFixture
) -> None:
    peers = [connect_slow_reader(context, server, 20) for _ in range(20)]
    eventually(lambda: unread(server) >= IN_ALL)
    refused: dict[str, Any] = {}

    def is_refused() -> bool:
        # The peers' buffers take some of it, so that there may be room at first.
        refused.update(request_once(context, server, {"type": "status", "request_id": "7"}))
        return bool(refused["code"] == "busy")

    eventually(is_refused)
    assert refused["request_id"] == "7"
    assert request_once(context, server, PING)["type"] == "pong"
    assert server.session.most_unread <= IN_ALL + MESSAGE_BYTES + SLACK_BYTES
    assert "large reply refused as busy" in caplog.text

    for peer in peers:  # Peers that read get a reply to each request.
        codes = [peer.receive()["code"] for _ in range(20)]
        assert set(codes) <= {"conflict", "busy"}
    eventually(lambda: unread(server) == count_postponed(server) == 0)
    assert request_once(context, server, {"type": "status"})["code"] == "conflict"


def test_unread_replies_are_freed_when_their_peer_disconnects(
    server: LongServer, context: BareContext
) -> None:
    peers = [connect_slow_reader(context, server, 50) for _ in range(3)]
    eventually(lambda: count_postponed(server) > 100)
    for peer in peers:
        peer.socket.close(linger=0)
    eventually(lambda: unread(server) == count_postponed(server) == 0)
    assert server.session.composed < 50, "replies were composed for peers that have disconnected"
    assert request_once(context, server, {"type": "status"})["code"] == "conflict"


def test_server_stops_while_replies_are_unread_and_requests_wait(
    server: LongServer, context: BareContext
) -> None:
    connect_slow_reader(context, server, 50)
    eventually(lambda: count_postponed(server) > 30)
    server.stop()
    assert not server.running


def test_small_replies_of_a_peer_that_does_not_read_are_counted_as_well(
    config: ZMQConfig, context: BareContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Enough that no request is dropped, with any size of the system's buffers.
    monkeypatch.setattr("zmqruntime.transport.server.unread_replies._MAX_WAITING", 25_000)
    with LongServer(config=dataclasses.replace(config, max_unread_bytes=IN_ALL)) as server:
        deaf = connect_slow_reader(context, server, 0)
        frame = json.dumps(PING | {"request_id": "x" * 250}).encode()
        for _ in range(25_000):
            deaf.send(frame)
        eventually(lambda: count_postponed(server) > 0)
        assert unread(server) <= PER_PEER + SLACK_BYTES
        assert request_once(context, server, PING)["type"] == "pong"
        assert {deaf.receive()["type"] for _ in range(25_000)} == {"pong"}


def test_requests_beyond_the_bound_are_dropped_with_one_log_line(
    server: LongServer,
    context: BareContext,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmqruntime.transport.server.unread_replies._MAX_WAITING", 10)
    connect_slow_reader(context, server, 5000)
    eventually(lambda: "request dropped: its peer does not read its replies" in caplog.text)
    assert request_once(context, server, PING)["type"] == "pong"
    assert count_postponed(server) <= 10
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) < 5


class FailingServer(ZMQServer):
    def describe(self) -> Any:
        raise RuntimeError("password=hunter2")


def test_internal_error_has_a_reference_and_no_application_text(
    config: ZMQConfig, context: BareContext, caplog: pytest.LogCaptureFixture
) -> None:
    with FailingServer(config=config) as server:
        replies = [request_once(context, server, PING) for _ in range(50)]
        text = json.dumps(replies)
        assert "hunter2" not in text
        assert "RuntimeError" not in text
        assert {reply["code"] for reply in replies} == {"internal"}
        for reply in replies:
            reference = reply["message"].rpartition(" ")[2]
            assert f"[{reference}]" in caplog.text
    assert caplog.text.count("Traceback") < 5


class UnreadySession(ServerSession):
    @property
    def ready(self) -> bool:
        return False


class UnreadyServer(ZMQServer):
    def make_session(self) -> ServerSession:
        return UnreadySession("Unready", "0", self.endpoint, self.config)


def test_held_ping_beyond_the_bound_is_refused_as_busy(
    config: ZMQConfig, context: BareContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqruntime.transport.server.held_replies._PER_PEER_BYTES", 10_000)
    with UnreadyServer(config=config) as server:
        peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        for number in range(20):
            ping = PING | {"wait_seconds": 60, "request_id": str(number)}
            peer.send(json.dumps(ping).encode())
        refused = [peer.receive() for _ in range(11)]
        assert {reply["code"] for reply in refused} == {"busy"}
        assert [reply["request_id"] for reply in refused] == [str(n) for n in range(9, 20)]
        assert request_once(context, server, PING)["ready"] is False


def test_long_unread_events_are_counted_until_their_subscriber_disconnects(
    config: ZMQConfig, context: BareContext, caplog: pytest.LogCaptureFixture
) -> None:
    bounded = dataclasses.replace(config, max_unread_bytes=IN_ALL)
    event = b"x" * 32_000
    with OpenServer(config=bounded) as server:
        publisher = server.session.publisher
        deaf, other = context.socket(zmq.SUB), context.socket(zmq.SUB)
        deaf.rcvhwm = 1
        for subscriber in (deaf, other):
            subscriber.rcvtimeo = 30_000
            subscriber.connect(server.endpoint.data_address)
            subscriber.subscribe(b"a/")
        registrations = server.session.registrations
        eventually(lambda: registrations._subscribed[b"a/"] == 2)

        def publish() -> None:
            server.session.publish(b"a/x", event)

        count = 0
        while not publisher.is_full:
            server.in_loop(publish)
            count += 1
            assert other.recv_multipart() == [b"a/x", event]
        assert publisher.unread_bytes <= PER_PEER + len(event)
        assert count >= PER_PEER // len(event)
        server.in_loop(lambda: publisher.log_dropped_events(3))
        server.in_loop(lambda: publisher.log_dropped_events(0))
        assert "large events not published: 3" in caplog.text
        server.in_loop(lambda: server.session.publish(b"a/x", b"short"))
        assert other.recv_multipart() == [b"a/x", b"short"]
        deaf.close(linger=0)
        eventually(lambda: publisher.unread_bytes == 0)
        assert not publisher.is_full
