"""The registration handshake: no lost events, and no registrations without a subscription."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import zmq
from transport_peers import OpenServer, RawPeer, eventually

from zmqruntime.transport import TransportMode, ZMQConfig
from zmqruntime.transport.server.handshake import MAX_LISTED, MAX_WAITING

BareContext = zmq.Context[zmq.Socket[bytes]]
StartProcess = Callable[..., "subprocess.Popen[str]"]
Subscribe = Callable[..., "zmq.Socket[bytes]"]


@pytest.fixture
def subscribe(server: OpenServer, context: BareContext) -> Subscribe:
    """Open a SUB socket with these subscriptions."""

    def open_socket(*prefixes: bytes) -> zmq.Socket[bytes]:
        sock = context.socket(zmq.SUB)
        sock.rcvtimeo = 30_000
        sock.connect(server.endpoint.data_address)
        for prefix in prefixes:
            sock.subscribe(prefix)
        return sock

    return open_socket


def register(client_id: str, scope: str = "own") -> dict[str, str]:
    return {"type": "register_progress", "client_id": client_id, "scope": scope}


def subscribers(dealer: RawPeer) -> list[str]:
    clients = dealer.ask({"type": "ping"})["progress_subscribers"]
    assert isinstance(clients, list)
    return clients


def test_subscriber_is_registered_and_listed(dealer: RawPeer, subscribe: Subscribe) -> None:
    subscribe(b"alice/")
    reply = dealer.ask({**register("alice"), "request_id": "7"})
    assert (reply["type"], reply["client_id"], reply["request_id"]) == ("ok", "alice", "7")
    assert reply["progress_subscribers"] == ["alice"]
    assert subscribers(dealer) == ["alice"]


def test_ok_follows_the_subscription(dealer: RawPeer, subscribe: Subscribe) -> None:
    sock = subscribe(b"alice", b"bob/")
    dealer.send({**register("alice"), "request_id": "held"})
    # The requests of one socket are handled in order: so the first one waits.
    assert dealer.ask({"type": "ping", "request_id": "first"})["request_id"] == "first"
    sock.subscribe(b"alice/")
    reply = dealer.receive()
    assert (reply["type"], reply["request_id"]) == ("ok", "held")


def test_scope_all_is_acknowledged_after_both_subscriptions(
    dealer: RawPeer, subscribe: Subscribe
) -> None:
    sock = subscribe(b"alice/")
    dealer.send({**register("alice", "all"), "request_id": "held"})
    assert dealer.ask({"type": "ping", "request_id": "first"})["request_id"] == "first"
    sock.subscribe(b"")
    assert dealer.receive()["request_id"] == "held"


def test_registration_without_a_subscription_is_refused_after_the_timeout(
    config: ZMQConfig, context: BareContext
) -> None:
    quick = ZMQConfig(runtime_dir=config.runtime_dir, registration_timeout=0.05)
    with OpenServer(config=quick) as server:
        peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        reply = peer.ask({**register("alice"), "request_id": "7"})
        assert (reply["code"], reply["request_id"]) == ("not_subscribed", "7")
        assert "no new subscription to 'alice/' was seen within 0.05 s" in reply["message"]
        assert f"data port {server.port} and subscribe first" in reply["message"]
        assert subscribers(peer) == []
        sock = context.socket(zmq.SUB)
        sock.connect(server.endpoint.data_address)
        sock.subscribe(b"alice/")
        eventually(lambda: peer.ask(register("alice"))["type"] == "ok")


def test_repeated_registration_on_a_fresh_socket_is_acknowledged(
    config: ZMQConfig, context: BareContext
) -> None:
    quick = ZMQConfig(runtime_dir=config.runtime_dir, registration_timeout=0.05)
    with OpenServer(config=quick) as server:
        sock = context.socket(zmq.SUB)
        sock.connect(server.endpoint.data_address)
        sock.subscribe(b"alice/")
        first = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        known = ["alice"]
        eventually(lambda: first.ask(register("alice")).get("progress_subscribers") == known)
        again = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        assert again.ask(register("alice"))["progress_subscribers"] == known


def test_waiting_registration_is_refused_at_the_end_of_the_server(
    server: OpenServer, dealer: RawPeer
) -> None:
    dealer.send(register("alice"))
    assert subscribers(dealer) == []
    server.stop()
    assert dealer.receive()["code"] == "shutting_down"


def test_registrations_without_request_ids_get_a_reply_each(
    dealer: RawPeer, subscribe: Subscribe
) -> None:
    for _ in range(3):
        dealer.send(register("alice"))
    assert subscribers(dealer) == []
    for _ in range(3):
        subscribe(b"alice/")
    assert [dealer.receive()["type"] for _ in range(3)] == ["ok"] * 3
    assert subscribers(dealer) == ["alice"]


def test_unregistered_client_is_not_listed(dealer: RawPeer, subscribe: Subscribe) -> None:
    subscribe(b"alice/", b"bob/")
    dealer.ask(register("alice"))
    dealer.ask(register("bob"))
    for _ in range(2):
        reply = dealer.ask({"type": "unregister_progress", "client_id": "alice"})
        assert (reply["type"], reply["progress_subscribers"]) == ("ok", ["bob"])


def test_returning_client_waits_for_its_new_subscription(
    server: OpenServer, dealer: RawPeer, subscribe: Subscribe
) -> None:
    subscribe(b"alice/")  # The end of its subscription has not arrived yet.
    dealer.ask(register("alice"))
    dealer.ask({"type": "unregister_progress", "client_id": "alice"})
    dealer.send({**register("alice"), "request_id": "held"})
    assert dealer.ask({"type": "ping", "request_id": "first"})["request_id"] == "first"
    sock = subscribe(b"alice/")
    assert dealer.receive()["request_id"] == "held"
    server.in_loop(partial(server.session.publish, b"alice/x", b"first"))
    assert sock.recv_multipart() == [b"alice/x", b"first"]


def test_client_without_a_subscription_is_not_listed(dealer: RawPeer, subscribe: Subscribe) -> None:
    sock = subscribe(b"alice/")
    dealer.ask(register("alice"))
    sock.unsubscribe(b"alice/")
    eventually(lambda: subscribers(dealer) == [])


def test_client_with_a_closed_socket_is_not_listed(dealer: RawPeer, subscribe: Subscribe) -> None:
    sock = subscribe(b"alice/")
    dealer.ask(register("alice"))
    sock.close(linger=0)
    eventually(lambda: subscribers(dealer) == [])


def test_second_client_with_an_id_keeps_it_registered(
    dealer: RawPeer, subscribe: Subscribe
) -> None:
    first, second = subscribe(b"alice/"), subscribe(b"alice/")
    assert dealer.ask(register("alice"))["progress_subscribers"] == ["alice"]
    assert dealer.ask(register("alice"))["progress_subscribers"] == ["alice"]
    first.close(linger=0)
    marker = subscribe(b"marker/")
    dealer.ask(register("marker"))
    marker.close(linger=0)
    eventually(lambda: "marker" not in subscribers(dealer))
    assert subscribers(dealer) == ["alice"]
    second.close(linger=0)
    eventually(lambda: subscribers(dealer) == [])


KILLED = """\
import sys, zmq
data, control = sys.argv[1:]
context = zmq.Context()
sub, req = context.socket(zmq.SUB), context.socket(zmq.REQ)
sub.connect(data)
sub.subscribe(b"victim/")
req.connect(control)
req.send(b'{"type":"register_progress","client_id":"victim"}')
print(req.recv().decode(), flush=True)
sub.recv()
"""


@pytest.mark.parametrize("mode", list(TransportMode))
def test_killed_subscriber_is_not_listed(
    config: ZMQConfig,
    context: BareContext,
    start_process: StartProcess,
    runtime_dir: Path,
    mode: TransportMode,
) -> None:
    if mode is TransportMode.IPC and not zmq.has("ipc"):
        pytest.skip("no ipc there")
    (runtime_dir / "killed.py").write_text(KILLED)
    with OpenServer(config=config, transport_mode=mode) as server:
        peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        victim = start_process(
            runtime_dir / "killed.py",
            server.endpoint.data_address,
            server.endpoint.control_address,
        )
        assert victim.stdout is not None
        assert '"ok"' in victim.stdout.readline()
        assert subscribers(peer) == ["victim"]
        victim.kill()
        eventually(lambda: subscribers(peer) == [])


@pytest.mark.parametrize("mode", list(TransportMode))
def test_first_event_is_never_lost_in_200_registrations(
    config: ZMQConfig, context: BareContext, mode: TransportMode
) -> None:
    if mode is TransportMode.IPC and not zmq.has("ipc"):
        pytest.skip("no ipc there")
    with OpenServer(config=config, transport_mode=mode) as server:
        peer = RawPeer(context, zmq.REQ, server.endpoint.control_address)
        for number in range(200):
            sock = context.socket(zmq.SUB)
            sock.rcvtimeo = 30_000
            sock.connect(server.endpoint.data_address)
            sock.subscribe(b"client-%d/" % number)
            assert peer.ask(register(f"client-{number}"))["type"] == "ok"
            topic = b"client-%d/execution" % number
            server.in_loop(partial(server.session.publish, topic, b"first"))
            assert sock.recv_multipart() == [topic, b"first"]
            sock.close(linger=0)


def test_publish_never_waits_for_a_subscriber_that_does_not_read(
    config: ZMQConfig, context: BareContext
) -> None:
    narrow = ZMQConfig(runtime_dir=config.runtime_dir, data_high_water_mark=10)
    with OpenServer(config=narrow) as server:
        peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        deaf = context.socket(zmq.SUB)
        deaf.rcvhwm = 1
        deaf.connect(server.endpoint.data_address)
        deaf.subscribe(b"deaf/")
        assert peer.ask(register("deaf"))["type"] == "ok"

        def publish_much() -> None:
            for _ in range(1000):
                server.session.publish(b"deaf/x", b"x" * 10_000)

        server.in_loop(publish_much)
        assert peer.ask({"type": "ping"})["progress_subscribers"] == ["deaf"]


def test_new_subscriber_without_array_support_gets_no_array(
    server: OpenServer, dealer: RawPeer, subscribe: Subscribe
) -> None:
    session = server.session
    alice = subscribe(b"alice/")
    alice.subscribe(b"~alice/")
    assert dealer.ask(register("alice"))["type"] == "ok"
    eventually(lambda: session.registrations.all_accept_arrays)
    server.in_loop(lambda: session.publish(b"alice/x", b"1", b"2"))
    assert alice.recv_multipart() == [b"alice/x", b"[1,2]"]

    bob = subscribe(b"bob/", b"~bob/")
    assert dealer.ask(register("bob"))["type"] == "ok"  # The connection is authorized.
    eventually(lambda: session.registrations.all_accept_arrays)

    def publish_before_the_subscription_is_read() -> None:
        """Runs in the loop, so that no subscription is read meanwhile."""
        assert session._sockets is not None
        bob.subscribe(b"alice/")
        assert session._sockets.data.poll(30_000, zmq.POLLIN)
        session.publish(b"alice/x", b"3", b"4")

    server.in_loop(publish_before_the_subscription_is_read)
    for sock in (alice, bob):
        assert sock.recv_multipart() == [b"alice/x", b"3"]
        assert sock.recv_multipart() == [b"alice/x", b"4"]


def test_server_knows_whether_there_are_subscribers(
    server: OpenServer, dealer: RawPeer, subscribe: Subscribe
) -> None:
    assert not server.session.registrations.has_subscribers
    sock = subscribe(b"alice/")
    dealer.ask(register("alice"))
    assert server.session.registrations.has_subscribers
    sock.close(linger=0)
    eventually(lambda: not server.session.registrations.has_subscribers)


def test_reply_lists_a_hundred_clients_and_counts_all(
    dealer: RawPeer, subscribe: Subscribe
) -> None:
    names = [f"client-{number}" for number in range(MAX_LISTED + 5)]
    subscribe(*(f"{name}/".encode() for name in names))
    replies = [dealer.ask(register(name)) for name in names]
    for count, reply in enumerate(replies, 1):
        assert reply["progress_subscriber_count"] == count
        assert reply["progress_subscribers"] == names[: min(count, MAX_LISTED)]
    pong = dealer.ask({"type": "ping", "limit": 0})
    assert pong["progress_subscriber_count"] == len(names)
    assert pong["progress_subscribers"] == names[:MAX_LISTED]


def test_registration_beyond_the_bound_of_those_that_wait_is_refused_at_once(
    config: ZMQConfig, context: BareContext
) -> None:
    patient = replace(config, registration_timeout=1000.0)
    with OpenServer(config=patient) as server:
        peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        for number in range(MAX_WAITING // 2):
            peer.send(register(f"client-{number}"))
        refused = peer.ask(register("late"))
        assert refused["code"] == "not_subscribed"
        assert "while 500 registrations wait, 500 of them of this connection" in refused["message"]
        sock = context.socket(zmq.SUB)
        sock.connect(server.endpoint.data_address)
        sock.subscribe(b"client-0/")
        assert peer.receive()["client_id"] == "client-0"
        peer.send({**register("late"), "request_id": "held"})  # There is room for one registration.
        assert peer.ask({"type": "ping", "request_id": "first"})["request_id"] == "first"


def test_new_connection_may_wait_beside_many_waiting_registrations(
    config: ZMQConfig, context: BareContext
) -> None:
    patient = replace(config, registration_timeout=1000.0)
    with OpenServer(config=patient) as server:
        address = server.endpoint.control_address
        for _ in range(3):
            stranger = RawPeer(context, zmq.DEALER, address)
            for number in range(MAX_WAITING):
                stranger.send(register(f"client-{number}"))
            stranger.receive()  # A refusal: the connection is at its bound.
        newcomer = RawPeer(context, zmq.DEALER, address)
        newcomer.send(register("alice"))
        pong = newcomer.ask({"type": "ping"})  # A refusal would precede the pong.
        assert pong["type"] == "pong"
        sock = context.socket(zmq.SUB)
        sock.connect(server.endpoint.data_address)
        sock.subscribe(b"alice/")
        assert newcomer.receive()["client_id"] == "alice"


def test_many_registrations_that_expire_together_are_all_refused(
    config: ZMQConfig, context: BareContext
) -> None:
    with OpenServer(config=replace(config, registration_timeout=0.2)) as server:
        peer = RawPeer(context, zmq.DEALER, server.endpoint.control_address)
        for number in range(300):
            peer.send({**register("alice"), "request_id": str(number)})
        replies = [peer.receive() for _ in range(300)]
        assert {reply["code"] for reply in replies} == {"not_subscribed"}
        assert [reply["request_id"] for reply in replies] == [str(n) for n in range(300)]
        assert server.session.registrations.waiting == ()


def test_subscriptions_beyond_one_round_are_all_read(
    server: OpenServer, context: BareContext
) -> None:
    sock = context.socket(zmq.XSUB)
    sock.sndhwm = 0
    sock.connect(server.endpoint.data_address)
    for number in range(3000):
        sock.send(b"\x01client-%d/" % number)
    eventually(lambda: server.session._subscriptions._ledger.total == 3000)
    sock.close(linger=0)
    eventually(lambda: not server.session.registrations.has_subscribers)


def test_equal_subscriptions_of_one_connection_end_together(
    server: OpenServer, context: BareContext
) -> None:
    sock = context.socket(zmq.XSUB)
    sock.connect(server.endpoint.data_address)
    for _ in range(3):
        sock.send(b"\x01alice/")
    sock.send(b"\x01last/")
    eventually(lambda: server.session._subscriptions._ledger.total == 2)
    sock.close(linger=0)
    eventually(lambda: not server.session.registrations.has_subscribers)
