"""Peers that do not read their replies cost a server a bounded amount, and delay no other peer."""

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
    """Answers `status` with a long reply."""

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
        """Keep it out of the pongs, whose length counts here."""

    def _make_session(self) -> ServerSession:
        self.session = LongSession("Long", "0", self.endpoint, self.config)
        return self.session


@pytest.fixture
def server(config: ZMQConfig) -> Iterator[LongServer]:
    with LongServer(config=dataclasses.replace(config, max_unread_bytes=IN_ALL)) as server:
        yield server


def make_deaf(context: BareContext, server: ZMQServer, requests: int) -> RawPeer:
    """Return a peer that has sent requests, and reads no replies until it is asked to."""
    peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
    peer.socket.rcvhwm = 1
    peer.socket.sndhwm = 0
    # The options count for connections that are made later.
    peer.socket.disconnect(server.endpoint.control_address)
    peer.socket.connect(server.endpoint.control_address)
    for number in range(requests):
        peer.send(json.dumps({"type": "status", "request_id": str(number)}).encode())
    return peer


def ask(context: BareContext, server: ZMQServer, request: dict[str, Any]) -> Any:
    return RawPeer(context, zmq.REQ, server.endpoint.control_address).ask(request)


def unread(server: LongServer) -> int:
    return server.session._sender.unread.total


def waiting(server: LongServer) -> int:
    return server.session._sender.unread.waiting


def test_a_peer_that_reads_late_gets_all_its_replies_in_order(
    server: LongServer, context: BareContext
) -> None:
    deaf = make_deaf(context, server, 60)
    eventually(lambda: waiting(server) > 40)
    assert server.session.composed < 20, "replies were composed for a peer that does not read"
    assert ask(context, server, {"type": "status"})["code"] == "conflict"
    numbers = [deaf.receive()["request_id"] for _ in range(60)]
    assert numbers == [str(number) for number in range(60)]
    assert server.session.most_unread <= PER_PEER + 2 * MESSAGE_BYTES + SLACK_BYTES
    eventually(lambda: unread(server) == waiting(server) == 0)


def test_many_peers_that_do_not_read_are_bounded_together_and_others_get_small_replies(
    server: LongServer, context: BareContext, caplog: pytest.LogCaptureFixture
) -> None:
    peers = [make_deaf(context, server, 20) for _ in range(20)]
    eventually(lambda: unread(server) >= IN_ALL)
    refused: dict[str, Any] = {}

    def is_refused() -> bool:
        # The peers' buffers still take some of it, so that there may be room at first.
        refused.update(ask(context, server, {"type": "status", "request_id": "7"}))
        return bool(refused["code"] == "busy")

    eventually(is_refused)
    assert refused["request_id"] == "7"
    assert ask(context, server, PING)["type"] == "pong"
    assert server.session.most_unread <= IN_ALL + MESSAGE_BYTES + SLACK_BYTES
    assert "large reply refused as busy" in caplog.text

    for peer in peers:  # Those that read now get a reply to each request.
        codes = [peer.receive()["code"] for _ in range(20)]
        assert set(codes) <= {"conflict", "busy"}
    eventually(lambda: unread(server) == waiting(server) == 0)
    assert ask(context, server, {"type": "status"})["code"] == "conflict"


def test_what_a_peer_left_unread_is_free_when_it_is_gone(
    server: LongServer, context: BareContext
) -> None:
    peers = [make_deaf(context, server, 50) for _ in range(3)]
    eventually(lambda: waiting(server) > 100)
    for peer in peers:
        peer.socket.close(linger=0)
    eventually(lambda: unread(server) == waiting(server) == 0)
    assert server.session.composed < 50, "replies were composed for peers that are gone"
    assert ask(context, server, {"type": "status"})["code"] == "conflict"


def test_a_server_stops_while_replies_are_unread_and_requests_wait(
    server: LongServer, context: BareContext
) -> None:
    make_deaf(context, server, 50)
    eventually(lambda: waiting(server) > 30)
    server.stop()
    assert not server.running


def test_small_replies_of_a_peer_that_does_not_read_are_counted_as_well(
    config: ZMQConfig, context: BareContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None of them is dropped, however few the system takes before the first one waits.
    monkeypatch.setattr("zmqruntime.transport.server.unread_replies._MAX_WAITING", 25_000)
    with LongServer(config=dataclasses.replace(config, max_unread_bytes=IN_ALL)) as server:
        deaf = make_deaf(context, server, 0)
        frame = json.dumps(PING | {"request_id": "x" * 250}).encode()
        for _ in range(25_000):
            deaf.send(frame)
        eventually(lambda: waiting(server) > 0)
        assert unread(server) <= PER_PEER + SLACK_BYTES
        assert ask(context, server, PING)["type"] == "pong"
        assert {deaf.receive()["type"] for _ in range(25_000)} == {"pong"}


def test_requests_beyond_those_that_wait_are_dropped_with_one_log_line(
    server: LongServer,
    context: BareContext,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zmqruntime.transport.server.unread_replies._MAX_WAITING", 10)
    make_deaf(context, server, 5000)
    eventually(lambda: "request dropped: its peer does not read its replies" in caplog.text)
    assert ask(context, server, PING)["type"] == "pong"
    assert waiting(server) <= 10
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) < 5


class FailingServer(ZMQServer):
    def describe(self) -> Any:
        raise RuntimeError("password=hunter2")


def test_an_internal_error_has_a_reference_and_nothing_of_the_application(
    config: ZMQConfig, context: BareContext, caplog: pytest.LogCaptureFixture
) -> None:
    with FailingServer(config=config) as server:
        replies = [ask(context, server, PING) for _ in range(50)]
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
    def _make_session(self) -> ServerSession:
        return UnreadySession("Unready", "0", self.endpoint, self.config)


def test_a_held_ping_too_many_is_refused_as_busy(
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
        assert ask(context, server, PING)["ready"] is False


def test_long_events_that_a_subscriber_does_not_read_are_known_until_it_is_gone(
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
        eventually(lambda: registrations._seen[b"a/"] == 2)

        def publish() -> None:
            server.session.publish(b"a/x", event)

        count = 0
        while not publisher.is_full:
            server.in_loop(publish)
            count += 1
            assert other.recv_multipart() == [b"a/x", event]
        assert publisher.unread_bytes <= PER_PEER + len(event)
        assert count >= PER_PEER // len(event)
        server.in_loop(lambda: publisher.note_left_out(3))
        server.in_loop(lambda: publisher.note_left_out(0))
        assert "large events not published: 3" in caplog.text
        server.in_loop(lambda: server.session.publish(b"a/x", b"short"))
        assert other.recv_multipart() == [b"a/x", b"short"]
        deaf.close(linger=0)
        eventually(lambda: publisher.unread_bytes == 0)
        assert not publisher.is_full
