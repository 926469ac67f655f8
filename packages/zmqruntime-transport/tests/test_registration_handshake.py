"""Who is told that he is registered misses no event; who is gone is registered no more."""

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


def test_a_subscriber_is_registered_and_seen(dealer: RawPeer, subscribe: Subscribe) -> None:
    subscribe(b"alice/")
    reply = dealer.ask({**register("alice"), "request_id": "7"})
    assert (reply["type"], reply["client_id"], reply["request_id"]) == ("ok", "alice", "7")
    assert reply["progress_subscribers"] == ["alice"]
    assert subscribers(dealer) == ["alice"]


def test_the_ok_comes_only_after_the_subscription(dealer: RawPeer, subscribe: Subscribe) -> None:
    sock = subscribe(b"alice", b"bob/")
    dealer.send({**register("alice"), "request_id": "held"})
    # One socket's requests are taken in order: this answer means that the first one waits.
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


def test_without_a_subscription_it_is_refused_in_time_with_the_remedy(
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


def test_a_client_that_asks_again_on_a_fresh_socket_is_told_that_it_is_registered(
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


def test_a_registration_that_waits_is_refused_when_the_server_ends(
    server: OpenServer, dealer: RawPeer
) -> None:
    dealer.send(register("alice"))
    assert subscribers(dealer) == []
    server.stop()
    assert dealer.receive()["code"] == "shutting_down"


def test_each_of_many_registrations_without_ids_gets_its_own_answer(
    dealer: RawPeer, subscribe: Subscribe
) -> None:
    for _ in range(3):
        dealer.send(register("alice"))
    assert subscribers(dealer) == []
    for _ in range(3):
        subscribe(b"alice/")
    assert [dealer.receive()["type"] for _ in range(3)] == ["ok"] * 3
    assert subscribers(dealer) == ["alice"]


def test_who_unregisters_is_registered_no_more(dealer: RawPeer, subscribe: Subscribe) -> None:
    subscribe(b"alice/", b"bob/")
    dealer.ask(register("alice"))
    dealer.ask(register("bob"))
    for _ in range(2):
        reply = dealer.ask({"type": "unregister_progress", "client_id": "alice"})
        assert (reply["type"], reply["progress_subscribers"]) == ("ok", ["bob"])


def test_who_unregisters_and_comes_back_waits_for_his_new_subscription(
    server: OpenServer, dealer: RawPeer, subscribe: Subscribe
) -> None:
    subscribe(b"alice/")  # Its end has not arrived yet.
    dealer.ask(register("alice"))
    dealer.ask({"type": "unregister_progress", "client_id": "alice"})
    dealer.send({**register("alice"), "request_id": "held"})
    assert dealer.ask({"type": "ping", "request_id": "first"})["request_id"] == "first"
    sock = subscribe(b"alice/")
    assert dealer.receive()["request_id"] == "held"
    server.in_loop(partial(server.session.publish, b"alice/x", b"first"))
    assert sock.recv_multipart() == [b"alice/x", b"first"]


def test_who_unsubscribes_is_registered_no_more(dealer: RawPeer, subscribe: Subscribe) -> None:
    sock = subscribe(b"alice/")
    dealer.ask(register("alice"))
    sock.unsubscribe(b"alice/")
    eventually(lambda: subscribers(dealer) == [])


def test_who_closes_his_socket_is_registered_no_more(dealer: RawPeer, subscribe: Subscribe) -> None:
    sock = subscribe(b"alice/")
    dealer.ask(register("alice"))
    sock.close(linger=0)
    eventually(lambda: subscribers(dealer) == [])


def test_of_two_clients_with_one_id_the_second_keeps_it_registered(
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
def test_a_subscriber_that_is_killed_is_registered_no_more(
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
def test_no_first_event_is_lost_over_200_registrations(
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


def test_a_publisher_never_waits_for_a_subscriber_that_does_not_read(
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


def test_who_has_just_subscribed_gets_no_array(
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
    assert dealer.ask(register("bob"))["type"] == "ok"  # The loop has admitted his connection.
    eventually(lambda: session.registrations.all_accept_arrays)

    def publish_before_he_is_read_of() -> None:
        """In the loop, which reads no subscription meanwhile."""
        assert session._sockets is not None
        bob.subscribe(b"alice/")
        assert session._sockets.data.poll(30_000, zmq.POLLIN)
        session.publish(b"alice/x", b"3", b"4")

    server.in_loop(publish_before_he_is_read_of)
    for sock in (alice, bob):
        assert sock.recv_multipart() == [b"alice/x", b"3"]
        assert sock.recv_multipart() == [b"alice/x", b"4"]


def test_the_server_knows_whether_anybody_listens(
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
        peer.send({**register("late"), "request_id": "held"})  # There is room for one again.
        assert peer.ask({"type": "ping", "request_id": "first"})["request_id"] == "first"


def test_newcomer_may_wait_while_other_connections_have_many_registrations_that_wait(
    config: ZMQConfig, context: BareContext
) -> None:
    patient = replace(config, registration_timeout=1000.0)
    with OpenServer(config=patient) as server:
        address = server.endpoint.control_address
        for _ in range(3):
            stranger = RawPeer(context, zmq.DEALER, address)
            for number in range(MAX_WAITING):
                stranger.send(register(f"client-{number}"))
            stranger.receive()  # A refusal: it has as many as it may.
        newcomer = RawPeer(context, zmq.DEALER, address)
        newcomer.send(register("alice"))
        pong = newcomer.ask({"type": "ping"})  # Else the refusal would be before it.
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


def test_many_subscriptions_are_all_seen_though_each_round_reads_a_few(
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


def test_equal_subscriptions_of_one_connection_leave_nothing_behind(
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
