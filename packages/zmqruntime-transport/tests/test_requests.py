"""Requests: each has one reply or one error, in any thread, within its time."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable

import pytest
import zmq
from transport_peers import (
    HELD,
    PATIENCE_SECONDS,
    FakeServer,
    OpenServer,
    Outcomes,
    eventually,
    impatient,
    make_pong,
    swallow,
)

from zmqruntime.messages import (
    ExecuteRequest,
    PingRequest,
    ShutdownRequest,
)
from zmqruntime.messages.lowlevel import prepare
from zmqruntime.transport import (
    Endpoint,
    MessageTooLarge,
    RequestTimeout,
    ServerLost,
    TransportMode,
    ZMQClient,
    ZMQConfig,
    ZMQServer,
)

BareContext = zmq.Context[zmq.Socket[bytes]]
StartServer = Callable[[Endpoint], "subprocess.Popen[str]"]


def test_reply_has_the_id_of_its_request(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        assert client.request(PingRequest(request_id="mine")).request_id == "mine"
        assert client.request(PingRequest()).request_id != client.request(PingRequest()).request_id


def test_prepared_request_can_be_sent_repeatedly(server: OpenServer) -> None:
    ping = prepare(PingRequest())
    with ZMQClient(config=server.config) as client:
        assert client.request(ping).request_id != client.request(ping).request_id
        mine = prepare(PingRequest(request_id="mine"))
        assert client.request(mine).request_id == "mine"
        assert [reply.type for reply in client.exchange([ping, ping])] == ["pong", "pong"]


def test_error_reply_is_returned(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        reply = client.request(ExecuteRequest(task={}, client_id="alice"))
        assert reply.type == "error"
        assert "takes no execute requests" in reply.message


def test_replies_reach_the_threads_that_sent_the_requests(server: OpenServer) -> None:
    wrong: list[object] = []
    with ZMQClient(config=server.config) as client:
        start = threading.Barrier(16)

        def ask(thread: int) -> None:
            start.wait(PATIENCE_SECONDS)
            for number in range(100):
                request_id = f"{thread}-{number}"
                reply = client.request(PingRequest(request_id=request_id))
                if reply.request_id != request_id or reply.type != "pong":
                    wrong.append(reply)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
    assert wrong == []


def test_held_request_of_one_thread_does_not_delay_other_threads(
    server: OpenServer, context: BareContext
) -> None:
    slow = Outcomes()
    with ZMQClient(config=server.config) as client:
        slow.ask(client)
        eventually(lambda: server.session.registrations.waiting)
        assert all(client.ping().ready for _ in range(10))
        assert slow.of == []
        sub = context.socket(zmq.SUB)
        sub.connect(server.endpoint.data_address)
        sub.subscribe(b"unsubscribed/")
        slow.wait()
        assert [reply.type for reply in slow.of if not isinstance(reply, Exception)] == ["ok"]


def test_replies_of_an_exchange_are_in_the_order_of_the_requests(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        assert client.exchange([]) == []
        requests = [PingRequest(request_id=f"r{number}") for number in range(3000)]
        replies = client.exchange(requests, 60)
        assert [reply.request_id for reply in replies] == [r.request_id for r in requests]
        mixed = client.exchange([PingRequest(), ExecuteRequest(task={}, client_id="a"), *requests])
        assert [reply.type for reply in mixed[:3]] == ["pong", "error", "pong"]


def test_pending_requests_cannot_share_an_id(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        with pytest.raises(ValueError, match="duplicate request_id"):
            client.exchange([PingRequest(request_id="1"), PingRequest(request_id="1")])
        assert client.exchange([PingRequest(request_id="1"), PingRequest()])


def test_generated_ids_differ_from_given_ones(config: ZMQConfig, endpoint: Endpoint) -> None:
    with FakeServer(endpoint, swallow(0)), ZMQClient(config=config) as client:
        own = [PingRequest(request_id=f"#{number}") for number in range(10)]
        replies = client.exchange([*own, PingRequest(), PingRequest()])
        assert [reply.request_id for reply in replies[:10]] == [r.request_id for r in own]
        assert len({reply.request_id for reply in replies}) == 12


def test_retry_has_the_same_id_on_a_fresh_connection(config: ZMQConfig, endpoint: Endpoint) -> None:
    with (
        FakeServer(endpoint, swallow(2)) as fake,
        ZMQClient(config=impatient(config)) as client,
    ):
        client.request(PingRequest(request_id="mine"), PATIENCE_SECONDS)
    tries = [frames for frames in fake.received if json.loads(frames[-1])["request_id"] == "mine"]
    assert len(tries) >= 2
    assert len({body for *_, body in tries}) == 1
    assert len({peer for peer, *_ in tries}) == len(tries)


def test_exchange_retries_only_requests_without_a_reply(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes] | None:
        return None if len(received) == 3 else swallow(0)(received)

    with FakeServer(endpoint, answer) as fake, ZMQClient(config=impatient(config, 1.0)) as client:
        requests = [PingRequest(request_id=name) for name in "abc"]
        replies = client.exchange(requests, PATIENCE_SECONDS)
    assert [reply.request_id for reply in replies] == ["a", "b", "c"]
    assert [json.loads(frames[-1])["request_id"] for frames in fake.received[1:]] == [*"abcb"]


def test_replies_before_the_end_of_a_connection_are_kept(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    server = ZMQServer(config=config)
    with server, ZMQClient(config=config) as client:
        replies = client.exchange([*[PingRequest() for _ in range(20)], ShutdownRequest()], 5)
        assert [reply.type for reply in replies] == ["pong"] * 20 + ["shutdown_ack"]


def test_deadline_limits_all_attempts_together(config: ZMQConfig, endpoint: Endpoint) -> None:
    with (
        FakeServer(endpoint, swallow(1000)) as fake,
        ZMQClient(config=impatient(config)) as client,
    ):
        start = time.monotonic()
        with pytest.raises(RequestTimeout, match="may have executed it"):
            client.ping(1.0)
        # A timeout for each attempt would never end.
        assert 1.0 <= time.monotonic() - start < PATIENCE_SECONDS
        assert len(fake.received) > 3


def test_held_request_is_not_retried_before_its_hold_ends(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    with (
        FakeServer(endpoint, swallow(1000)) as fake,
        ZMQClient(config=impatient(config)) as client,
        pytest.raises(RequestTimeout),
    ):
        client.request(HELD, 0.02, hold=0.3)
    kinds = [json.loads(frames[-1])["type"] for frames in fake.received]
    assert kinds.count("register_progress") == 1


def test_late_reply_to_another_request_is_dropped(config: ZMQConfig, endpoint: Endpoint) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes]:
        *envelope, body = received[-1]
        reply = json.loads(make_pong())
        reply["request_id"] = "another" if len(received) == 2 else json.loads(body)["request_id"]
        return [*envelope, json.dumps(reply).encode()]

    with FakeServer(endpoint, answer) as fake, ZMQClient(config=impatient(config)) as client:
        assert client.request(PingRequest(), PATIENCE_SECONDS).request_id != "another"
        assert len(fake.received) >= 3


@pytest.mark.parametrize("seconds", [1e300, float("inf")])
def test_timeout_may_be_infinite(server: OpenServer, seconds: float) -> None:
    with ZMQClient(config=server.config) as client:
        assert client.ping(seconds).ready


def test_request_that_is_too_large_is_not_sent(config: ZMQConfig, endpoint: Endpoint) -> None:
    big = ExecuteRequest(task={"data": "x" * 1000}, client_id="alice")
    with FakeServer(endpoint, swallow(0)) as fake, ZMQClient(config=config) as client:
        # The limit of 1,000 bytes in the server's pong overrides the client's configuration.
        with pytest.raises(MessageTooLarge, match="the server takes 1,000: send a path"):
            client.request(big)
        client.ping()
    assert len(fake.received) == 2


@pytest.mark.parametrize("mode", list(TransportMode))
def test_end_of_the_server_process_ends_a_request_before_its_timeout(
    config: ZMQConfig, start_server: StartServer, mode: TransportMode
) -> None:
    client = ZMQClient(config=config, transport_mode=mode)
    process = start_server(client.endpoint)
    with client:
        client.ping()
        process.kill()
        process.wait(PATIENCE_SECONDS)
        for _ in range(3):  # On the connection that was lost, or on a fresh one.
            start = time.monotonic()
            with pytest.raises(ServerLost, match=rf"process {process.pid}\) has ended"):
                client.ping(600)
            assert time.monotonic() - start < PATIENCE_SECONDS


def test_death_of_the_server_ends_a_held_request(
    config: ZMQConfig, endpoint: Endpoint, start_server: StartServer, context: BareContext
) -> None:
    process = start_server(endpoint)
    outcomes = Outcomes()
    with ZMQClient(config=config) as client:
        for _ in range(4):
            outcomes.ask(client)
        process.kill()
        process.wait(PATIENCE_SECONDS)
        outcomes.wait()
    assert [type(outcome) for outcome in outcomes.of] == [ServerLost] * 4


def test_request_survives_a_lost_connection(
    config: ZMQConfig, endpoint: Endpoint, context: BareContext
) -> None:
    # The server's process is this one, which continues while the server is stopped.
    server = ZMQServer(config=config)
    with server, ZMQClient(config=config) as client:
        client.ping()
        server.stop()
        outcomes = Outcomes()
        outcomes.ask(client, PingRequest())
        server.start()
        outcomes.wait()
        assert [outcome.type for outcome in outcomes.of if not isinstance(outcome, Exception)] == [
            "pong"
        ]


def test_server_that_runs_without_listening_is_lost_at_the_deadline(
    config: ZMQConfig,
) -> None:
    with ZMQServer(config=config) as server, ZMQClient(config=config) as client:
        server.stop()
        with pytest.raises(ServerLost, match=r"server was lost: .* no server listens there"):
            client.ping(0.2)


def test_server_that_closes_every_connection_is_lost(
    config: ZMQConfig, context: BareContext
) -> None:
    # The server closes a connection with a message over its limit, which the client does not know.
    small = ZMQConfig(
        default_port=config.default_port,
        control_port_offset=config.control_port_offset,
        runtime_dir=config.runtime_dir,
        max_message_bytes=2**17,
    )
    with ZMQServer(config=small), ZMQClient(config=config) as client:
        client._connected()._requester.max_message_bytes = 10**6
        with pytest.raises(ServerLost, match="the connection was closed"):
            client.request(ExecuteRequest(task={"x": "x" * 200_000}, client_id="a"), 60)
        assert client.ping().ready


def test_last_reply_before_the_end_of_the_server_is_received(config: ZMQConfig) -> None:
    server = ZMQServer(config=config)
    for _ in range(50):
        with server, ZMQClient(config=config) as client:
            client.shutdown_server()
