"""A request is answered, or it fails in its time, from whatever thread it was made."""

from __future__ import annotations

import gc
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from transport_peers import (
    PATIENCE_SECONDS,
    FakeServer,
    OpenServer,
    eventually,
    make_pong,
)

from zmqruntime.messages import (
    ExecuteRequest,
    PingRequest,
    PongReply,
    RegisterProgressRequest,
    Reply,
    ShutdownRequest,
    prepare,
)
from zmqruntime.transport import (
    ConnectionFailed,
    Endpoint,
    MessageTooLarge,
    NotConnected,
    RequestTimeout,
    ServerArguments,
    ServerLost,
    TransportError,
    TransportMode,
    ZMQClient,
    ZMQConfig,
    ZMQServer,
)
from zmqruntime.transport.client.attach import Attacher
from zmqruntime.transport.client.tracked_context import TrackedContext

BareContext = zmq.Context[zmq.Socket[bytes]]
StartProcess = Callable[..., "subprocess.Popen[str]"]

HELD = RegisterProgressRequest(client_id="nobody")
"""A request that a server holds: nobody subscribed."""


def impatient(config: ZMQConfig, retry_interval: float = 0.05) -> ZMQConfig:
    """Return a config whose clients ask again soon, and whose servers hold for long.

    A reply may take longer than that on a busy machine: a test that counts requests sets more.
    """
    return ZMQConfig(
        default_port=config.default_port,
        control_port_offset=config.control_port_offset,
        runtime_dir=config.runtime_dir,
        retry_interval=retry_interval,
        registration_timeout=600,
    )


class Outcomes:
    """What became of requests that other threads make."""

    def __init__(self) -> None:
        self.of: list[Reply | Exception] = []
        self._threads: list[threading.Thread] = []

    def ask(self, client: ZMQClient, request: object = HELD, timeout: float = 60) -> None:
        def run() -> None:
            try:
                self.of.append(client.request(request, timeout))  # type: ignore[arg-type]
            except (ConnectionFailed, NotConnected, ServerLost, RequestTimeout) as error:
                self.of.append(error)

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


# -- answers ----------------------------------------------------------------------------------


def test_a_reply_carries_the_request_s_own_id(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        assert client.request(PingRequest(request_id="mine")).request_id == "mine"
        assert client.request(PingRequest()).request_id != client.request(PingRequest()).request_id


def test_a_prepared_request_may_go_out_again_and_again(server: OpenServer) -> None:
    ping = prepare(PingRequest())
    with ZMQClient(config=server.config) as client:
        assert client.request(ping).request_id != client.request(ping).request_id
        mine = prepare(PingRequest(request_id="mine"))
        assert client.request(mine).request_id == "mine"
        assert [reply.type for reply in client.exchange([ping, ping])] == ["pong", "pong"]


def test_an_error_reply_is_a_reply(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        reply = client.request(ExecuteRequest(task={}, client_id="alice"))
        assert reply.type == "error"
        assert "takes no execute requests" in reply.message


def test_sixteen_threads_at_once_each_get_their_own_replies(server: OpenServer) -> None:
    wrong: list[object] = []
    with ZMQClient(config=server.config) as client:
        start = threading.Barrier(16)

        def ask(who: int) -> None:
            start.wait(PATIENCE_SECONDS)
            for number in range(100):
                request_id = f"{who}-{number}"
                reply = client.request(PingRequest(request_id=request_id))
                if reply.request_id != request_id or reply.type != "pong":
                    wrong.append(reply)

        threads = [threading.Thread(target=ask, args=(who,)) for who in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
    assert wrong == []


def test_a_long_wait_in_one_thread_delays_no_other(
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
        sub.subscribe(b"nobody/")
        slow.wait()
        assert [reply.type for reply in slow.of if not isinstance(reply, Exception)] == ["ok"]


def test_many_requests_go_out_at_once_and_come_back_in_their_order(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        assert client.exchange([]) == []
        requests = [PingRequest(request_id=f"r{number}") for number in range(3000)]
        replies = client.exchange(requests, 60)
        assert [reply.request_id for reply in replies] == [r.request_id for r in requests]
        mixed = client.exchange([PingRequest(), ExecuteRequest(task={}, client_id="a"), *requests])
        assert [reply.type for reply in mixed[:3]] == ["pong", "error", "pong"]


def test_requests_that_go_out_at_once_cannot_share_an_id(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        with pytest.raises(ValueError, match="duplicate request_id"):
            client.exchange([PingRequest(request_id="1"), PingRequest(request_id="1")])
        assert client.exchange([PingRequest(request_id="1"), PingRequest()])


def test_an_id_that_is_made_is_none_of_the_caller_s(config: ZMQConfig, endpoint: Endpoint) -> None:
    with FakeServer(endpoint, swallow(0)), ZMQClient(config=config) as client:
        own = [PingRequest(request_id=f"#{number}") for number in range(10)]
        replies = client.exchange([*own, PingRequest(), PingRequest()])
        assert [reply.request_id for reply in replies[:10]] == [r.request_id for r in own]
        assert len({reply.request_id for reply in replies}) == 12


# -- a pipeline -------------------------------------------------------------------------------


def test_a_pipeline_takes_a_further_request_when_there_is_room(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    taken: list[int] = []

    def requests() -> Iterator[PingRequest]:
        for number in range(50):
            taken.append(number)
            yield PingRequest(request_id=f"r{number}")

    with FakeServer(endpoint, swallow(0)), ZMQClient(config=config) as client:
        come: list[str | None] = []
        for request, reply in client.pipeline(requests(), window=5):
            assert reply.request_id == request.request_id
            come.append(reply.request_id)
            assert len(taken) - len(come) < 5
        assert come == [f"r{number}" for number in range(50)]
        assert list(client.pipeline([])) == []


def test_a_request_goes_out_before_the_next_is_taken(config: ZMQConfig, endpoint: Endpoint) -> None:
    taken: list[PingRequest] = []
    come: list[object] = []

    def requests() -> Iterator[PingRequest]:
        while not come:  # Replies come although the source goes on, and the window is wide.
            taken.append(PingRequest())
            yield taken[-1]
            eventually(lambda: len(fake.received) == 1 + len(taken))

    with FakeServer(endpoint, swallow(0)) as fake, ZMQClient(config=config) as client:
        for request, _ in client.pipeline(requests(), window=10_000):
            come.append(request)
    assert come == taken


def test_a_source_may_have_none_until_the_next_reply(server: OpenServer) -> None:
    come: list[str] = []

    def requests() -> Iterator[PingRequest | None]:
        for name in "abc":
            yield PingRequest(request_id=name)
        for last in ("a", "b", "c"):
            while last not in come:
                yield None
            yield PingRequest(request_id=f"after {last}")
        while True:
            yield None

    with ZMQClient(config=server.config) as client:
        for _, reply in client.pipeline(requests()):
            come.append(reply.request_id or "")
    assert sorted(come) == ["a", "after a", "after b", "after c", "b", "c"]


def test_a_connection_that_ends_while_a_request_is_taken_is_made_anew(
    config: ZMQConfig, context: BareContext
) -> None:
    server = ZMQServer(config=config)

    def requests() -> Iterator[PingRequest]:
        yield from (PingRequest(), PingRequest())
        server.stop()
        server.start()
        yield PingRequest()
        threading.Event().wait(0.01)
        yield PingRequest()

    with server, ZMQClient(config=config) as client:
        assert [reply.type for _, reply in client.pipeline(requests())] == ["pong"] * 4


def test_a_reply_that_is_held_keeps_no_other_one(server: OpenServer) -> None:
    with ZMQClient(config=impatient(server.config)) as client:
        replies = client.pipeline([HELD, *[PingRequest() for _ in range(20)]], hold=600.0)
        assert [next(replies)[1].type for _ in range(20)] == ["pong"] * 20
        replies.close()
        assert client.ping().ready


def test_what_a_pipeline_lost_is_asked_again_and_only_that(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes] | None:
        return None if len(received) == 3 else swallow(0)(received)

    with FakeServer(endpoint, answer) as fake, ZMQClient(config=impatient(config, 1.0)) as client:
        requests = [PingRequest(request_id=name) for name in "abcdef"]
        replies = dict(client.pipeline(requests, PATIENCE_SECONDS, window=3))
    assert {request.request_id for request in replies} == {*"abcdef"}
    asked = [json.loads(frames[-1])["request_id"] for frames in fake.received[1:]]
    assert sorted(asked) == [*"abbcdef"]


def test_a_pipeline_outlives_any_number_of_connections_that_brought_replies(
    config: ZMQConfig, context: BareContext
) -> None:
    server = ZMQServer(config=config)

    def requests() -> Iterator[PingRequest]:
        for _ in range(8):
            yield PingRequest()
            server.stop()
            server.start()

    with server, ZMQClient(config=config) as client:
        assert len(list(client.pipeline(requests(), window=1))) == 8


@pytest.mark.parametrize("window", [0, -1])
def test_a_pipeline_without_room_for_a_request_is_refused_before_it_is_read(
    config: ZMQConfig, window: int
) -> None:
    with pytest.raises(ValueError, match=f"^window is {window}: it has to be at least 1$"):
        ZMQClient(config=config).pipeline([PingRequest()], window=window)


def test_a_pipeline_gives_up_when_nothing_comes_any_more(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes] | None:
        return swallow(0)(received) if len(received) <= 4 else None

    with (
        FakeServer(endpoint, answer) as fake,
        ZMQClient(config=impatient(config)) as client,
        pytest.raises(RequestTimeout, match=r"a ping request to .* was not answered"),
    ):
        for _ in client.pipeline((PingRequest() for _ in range(10)), 0.3, window=2):
            pass
    assert len(fake.received) >= 4


def test_a_pipeline_refuses_what_is_too_large_and_shared_ids(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        too_large = ExecuteRequest(task={"x": "x" * 70_000_000}, client_id="a")
        with pytest.raises(MessageTooLarge, match="the execute request is 70,"):
            list(client.pipeline([PingRequest(), too_large]))
        held = RegisterProgressRequest(client_id="nobody", request_id="1")
        with pytest.raises(ValueError, match="duplicate request_id"):
            list(client.pipeline([held, PingRequest(request_id="1")]))
        assert client.ping().ready


# -- lost replies -----------------------------------------------------------------------------


def swallow(first: int) -> Callable[[list[list[bytes]]], list[bytes] | None]:
    """Answer the ping of connect, then swallow this many requests."""

    def answer(received: list[list[bytes]]) -> list[bytes] | None:
        if 1 < len(received) <= first + 1:
            return None
        *envelope, body = received[-1]
        reply = json.loads(make_pong())
        reply["request_id"] = json.loads(body).get("request_id")
        return [*envelope, json.dumps(reply).encode()]

    return answer


def test_a_request_whose_reply_is_lost_is_made_again_on_a_fresh_socket_with_the_same_id(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    with (
        FakeServer(endpoint, swallow(2)) as fake,
        ZMQClient(config=impatient(config)) as client,
    ):
        client.request(PingRequest(request_id="mine"), PATIENCE_SECONDS)
    tries = [frames for frames in fake.received if json.loads(frames[-1])["request_id"] == "mine"]
    assert len(tries) >= 2
    assert len({body for *_, body in tries}) == 1
    assert len({peer for peer, *_ in tries}) == len(tries)


def test_of_many_requests_only_those_without_a_reply_are_made_again(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes] | None:
        return None if len(received) == 3 else swallow(0)(received)

    with FakeServer(endpoint, answer) as fake, ZMQClient(config=impatient(config, 1.0)) as client:
        requests = [PingRequest(request_id=name) for name in "abc"]
        replies = client.exchange(requests, PATIENCE_SECONDS)
    assert [reply.request_id for reply in replies] == ["a", "b", "c"]
    assert [json.loads(frames[-1])["request_id"] for frames in fake.received[1:]] == [*"abcb"]


def test_replies_that_came_before_the_connection_ended_are_kept(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    server = ZMQServer(config=config)
    with server, ZMQClient(config=config) as client:
        replies = client.exchange([*[PingRequest() for _ in range(20)], ShutdownRequest()], 5)
        assert [reply.type for reply in replies] == ["pong"] * 20 + ["shutdown_ack"]


def test_all_tries_together_end_at_the_caller_s_one_deadline(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    with (
        FakeServer(endpoint, swallow(1000)) as fake,
        ZMQClient(config=impatient(config)) as client,
    ):
        start = time.monotonic()
        with pytest.raises(RequestTimeout, match="may have been done"):
            client.ping(1.0)
        # With a time of its own for each try there would be no end.
        assert 1.0 <= time.monotonic() - start < PATIENCE_SECONDS
        assert len(fake.received) > 3


def test_a_request_that_the_server_was_asked_to_hold_is_not_repeated_before(
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


def test_a_late_reply_to_another_request_is_not_taken_for_this_one_s(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes]:
        *envelope, body = received[-1]
        reply = json.loads(make_pong())
        reply["request_id"] = "another" if len(received) == 2 else json.loads(body)["request_id"]
        return [*envelope, json.dumps(reply).encode()]

    with FakeServer(endpoint, answer) as fake, ZMQClient(config=impatient(config)) as client:
        assert client.request(PingRequest(), PATIENCE_SECONDS).request_id != "another"
        assert len(fake.received) >= 3


@pytest.mark.parametrize("seconds", [1e300, float("inf")])
def test_a_caller_may_have_all_the_time_in_the_world(server: OpenServer, seconds: float) -> None:
    with ZMQClient(config=server.config) as client:
        assert client.ping(seconds).ready


# -- too large --------------------------------------------------------------------------------


def test_what_the_server_would_not_take_is_refused_before_it_is_sent(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    big = ExecuteRequest(task={"data": "x" * 1000}, client_id="alice")
    with FakeServer(endpoint, swallow(0)) as fake, ZMQClient(config=config) as client:
        # The fake one's pong says that it takes 1,000 bytes, whatever the client was configured to.
        with pytest.raises(MessageTooLarge, match="the server takes 1,000: send a path"):
            client.request(big)
        client.ping()
    assert len(fake.received) == 2


# -- the server goes away ---------------------------------------------------------------------


@pytest.fixture
def start_server(
    start_process: StartProcess, server_script: Path, config: ZMQConfig
) -> Callable[[Endpoint], subprocess.Popen[str]]:
    def start(endpoint: Endpoint) -> subprocess.Popen[str]:
        arguments = ServerArguments.for_endpoint(endpoint, config, owner=None, log_file_path=None)
        process = start_process(server_script, *arguments.to_command_line())
        assert process.stdout is not None
        assert process.stdout.readline() == "serves\n"
        return process

    return start


StartServer = Callable[[Endpoint], "subprocess.Popen[str]"]


@pytest.mark.parametrize("mode", list(TransportMode))
def test_a_client_says_at_once_that_its_server_is_gone(
    config: ZMQConfig, start_server: StartServer, mode: TransportMode
) -> None:
    client = ZMQClient(config=config, transport_mode=mode)
    process = start_server(client.endpoint)
    with client:
        client.ping()
        process.kill()
        process.wait(PATIENCE_SECONDS)
        for _ in range(3):  # Each on the connection that died, or on a fresh one.
            start = time.monotonic()
            with pytest.raises(ServerLost, match=rf"process {process.pid}\) has ended"):
                client.ping(600)
            assert time.monotonic() - start < PATIENCE_SECONDS


def test_a_server_that_dies_while_it_holds_a_request_is_noticed(
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


def test_a_request_outlives_a_connection_that_breaks(
    config: ZMQConfig, endpoint: Endpoint, context: BareContext
) -> None:
    # The server is this process: it is not gone, it only stops listening for a moment.
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


def test_a_server_that_lives_and_does_not_listen_is_lost_at_the_deadline(
    config: ZMQConfig,
) -> None:
    with ZMQServer(config=config) as server, ZMQClient(config=config) as client:
        server.stop()
        with pytest.raises(ServerLost, match=r"nobody listens there\. The server was there before"):
            client.ping(0.2)


def test_a_server_that_drops_every_connection_is_given_up(
    config: ZMQConfig, context: BareContext
) -> None:
    # A message that is too long, which this client does not know, ends its connection each time.
    small = ZMQConfig(
        default_port=config.default_port,
        control_port_offset=config.control_port_offset,
        runtime_dir=config.runtime_dir,
        max_message_bytes=2**17,
    )
    with ZMQServer(config=small), ZMQClient(config=config) as client:
        assert client._connection is not None
        client._connection._requester.max_message_bytes = 10**6
        with pytest.raises(ServerLost, match="the connection ended"):
            client.request(ExecuteRequest(task={"x": "x" * 200_000}, client_id="a"), 60)
        assert client.ping().ready


def test_the_last_reply_before_the_end_is_heard(config: ZMQConfig) -> None:
    server = ZMQServer(config=config)
    for _ in range(50):
        with server, ZMQClient(config=config) as client:
            client.shutdown_server()


# -- disconnect -------------------------------------------------------------------------------


def disconnect_in_time(client: ZMQClient) -> None:
    """Disconnect; a disconnect that hangs fails the test, and does not end the run."""
    apart = threading.Thread(target=client.disconnect, daemon=True)
    apart.start()
    apart.join(PATIENCE_SECONDS)
    assert not apart.is_alive()


def test_disconnect_ends_the_calls_of_other_threads_at_once(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After that time their sockets would be closed without them.
    monkeypatch.setattr("zmqruntime.transport.client.connection._LEAVE_SECONDS", 600.0)
    client = ZMQClient(config=impatient(server.config))
    client.connect()
    outcomes = Outcomes()
    for _ in range(8):
        outcomes.ask(client)
    eventually(lambda: len(server.session.registrations.waiting) >= 8)
    disconnect_in_time(client)
    outcomes.wait()
    assert [type(outcome) for outcome in outcomes.of] == [NotConnected] * 8


def test_disconnect_between_two_replies_of_a_pipeline_ends_it(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqruntime.transport.client.connection._LEAVE_SECONDS", 600.0)
    with ZMQClient(config=server.config) as client:
        replies = client.pipeline((PingRequest() for _ in range(10)), window=3)
        next(replies)
        disconnect_in_time(client)
        with pytest.raises(NotConnected):
            for _ in replies:
                pass


def test_disconnect_while_a_pipeline_takes_a_request_ends_it(server: OpenServer) -> None:
    client = ZMQClient(config=server.config)

    def requests() -> Iterator[PingRequest]:
        yield PingRequest()
        client.disconnect()
        yield PingRequest()

    client.connect()
    with pytest.raises(NotConnected):
        list(client.pipeline(requests()))


def test_disconnect_ends_a_pipeline_that_goes_on_in_another_thread(server: OpenServer) -> None:
    client = ZMQClient(config=impatient(server.config))
    client.connect()
    replies = client.pipeline([PingRequest(), HELD], hold=600.0)
    next(replies)
    errors: list[Exception] = []

    def go_on() -> None:
        try:
            next(replies)
        except (NotConnected, zmq.ZMQError) as error:
            errors.append(error)

    other = threading.Thread(target=go_on)
    other.start()
    eventually(lambda: server.session.registrations.waiting)
    client.disconnect()
    other.join(PATIENCE_SECONDS)
    assert [type(error) for error in errors] == [NotConnected]


def test_many_threads_may_disconnect_and_connect(server: OpenServer) -> None:
    client = ZMQClient(config=server.config)
    start = threading.Barrier(8)
    unexpected: list[Exception] = []

    def use() -> None:
        start.wait(PATIENCE_SECONDS)
        for _ in range(20):
            try:
                client.connect()
                client.ping()
            except NotConnected:
                continue
            except Exception as error:  # noqa: BLE001 - told below
                unexpected.append(error)
            finally:
                client.disconnect()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert unexpected == []
    assert not client.connected


def test_disconnect_leaves_no_thread_no_handle_and_no_context(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[BareContext] = []

    class NotedContext(TrackedContext):
        def __init__(self) -> None:
            super().__init__()
            contexts.append(self)

    def use_client() -> None:
        with ZMQClient(config=server.config) as client:
            outcomes = Outcomes()
            for _ in range(4):
                outcomes.ask(client, PingRequest())
            outcomes.wait()
            client.subscribe([b"x/"], lambda messages: None, lambda connected: None).close()
            client.subscribe([b"y/"], lambda messages: None, lambda connected: None)

    me = psutil.Process()

    def handles() -> int:
        return me.num_fds() if hasattr(me, "num_fds") else 0

    use_client()
    eventually(lambda: not server.session.registrations.anybody)
    gc.collect()
    before = threading.active_count(), me.num_threads(), handles()
    monkeypatch.setattr("zmqruntime.transport.client.connection.TrackedContext", NotedContext)
    for _ in range(5):
        use_client()
    assert len(contexts) == 5
    assert all(context.closed for context in contexts)
    assert threading.active_count() == before[0]
    # The system takes a thread away, and the server in this process a connection, a moment later.
    eventually(lambda: me.num_threads() <= before[1] and handles() <= before[2])


def test_a_connect_that_fails_leaves_nothing_either(config: ZMQConfig) -> None:
    me = psutil.Process()

    def fail() -> None:
        with pytest.raises(ConnectionFailed):
            ZMQClient(config=config).connect()

    fail()
    gc.collect()
    before = threading.active_count(), me.num_threads()
    for _ in range(5):
        fail()
    assert threading.active_count() == before[0]
    eventually(lambda: me.num_threads() <= before[1])


def test_what_a_client_has_to_say_before_it_goes_it_can_still_say(server: OpenServer) -> None:
    class Polite(ZMQClient):
        said = ""

        def _before_close(self) -> None:
            self.said = self.ping().type

    client = Polite(config=server.config)
    client.connect()
    client.disconnect()
    assert client.said == "pong"


def test_a_farewell_that_fails_keeps_nothing_open(server: OpenServer) -> None:
    class Broken(ZMQClient):
        def _before_close(self) -> None:
            raise LookupError("no words")

    client = Broken(config=server.config)
    client.connect()
    threads = threading.active_count()
    with pytest.raises(LookupError):
        client.disconnect()
    assert not client.connected
    assert threading.active_count() == threads
    client.disconnect()


@pytest.mark.parametrize("at", ["watch", "configure_tcp"])
def test_what_is_interrupted_while_it_opens_leaves_no_socket_that_blocks_the_end(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    client = ZMQClient(config=server.config)
    client.connect()
    assert client._connection is not None
    client._connection._requester._pool._idle.pop().close()
    for module in ("channel", "subscriber"):
        monkeypatch.setattr(f"zmqruntime.transport.client.{module}.{at}", interrupted)
    with pytest.raises(KeyboardInterrupt) as from_request:
        client.ping()
    with pytest.raises(KeyboardInterrupt) as from_subscriber:
        client.subscribe([b""], lambda *_: None, lambda _: None)
    # Only a socket that was left open is waited for.
    monkeypatch.setattr("zmqruntime.transport.client.connection._LEAVE_SECONDS", 600.0)
    disconnect_in_time(client)
    del from_request, from_subscriber  # Till here, they kept every frame alive.


# -- and comes back ---------------------------------------------------------------------------


def test_a_client_goes_on_with_a_server_that_was_started_again(
    config: ZMQConfig, endpoint: Endpoint, start_server: StartServer
) -> None:
    first = start_server(endpoint)
    with ZMQClient(config=config) as client:
        assert client.may_return
        first.kill()
        first.wait(PATIENCE_SECONDS)
        assert not client.may_return  # It kept nothing that another one could know.
        with pytest.raises(ServerLost):
            client.ping()
        second = start_server(endpoint)
        assert client.reconnect(PATIENCE_SECONDS).process.pid == second.pid
        assert client.ping().process.pid == second.pid
        assert client.may_return


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as a client waits for a server to be back."""
    event = threading.Event()
    attach_again = Attacher.attach_again

    def notify(*arguments: Any) -> PongReply:
        event.set()
        return attach_again(*arguments)

    monkeypatch.setattr(Attacher, "attach_again", notify)
    return event


def test_a_server_is_waited_for_until_it_is_there(
    config: ZMQConfig, waits: threading.Event
) -> None:
    is_back = threading.Event()
    returned_when_back: list[bool] = []

    def reconnect() -> None:
        client.reconnect(PATIENCE_SECONDS)
        returned_when_back.append(is_back.is_set())

    with ZMQServer(config=config) as server, ZMQClient(config=config) as client:
        server.stop()
        back = threading.Thread(target=reconnect)
        back.start()
        assert waits.wait(PATIENCE_SECONDS)
        is_back.set()
        server.start()
        back.join(PATIENCE_SECONDS)
        assert returned_when_back == [True]
        assert client.ping().ready


def test_many_threads_may_wait_for_one_server(config: ZMQConfig) -> None:
    with ZMQServer(config=config) as server, ZMQClient(config=config) as client:
        server.stop()
        waiting = [
            threading.Thread(target=client.reconnect, args=(PATIENCE_SECONDS,)) for _ in range(5)
        ]
        for thread in waiting:
            thread.start()
        server.start()
        for thread in waiting:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


def test_a_server_that_does_not_come_back_is_lost_in_time(config: ZMQConfig) -> None:
    with ZMQServer(config=config) as server, ZMQClient(config=config) as client:
        server.stop()
        start = time.monotonic()
        with pytest.raises(ServerLost, match="was lost, and none was back in time"):
            client.reconnect(0.3)
        # The configuration's own time is a minute.
        assert 0.3 <= time.monotonic() - start < PATIENCE_SECONDS


def test_who_waits_for_a_server_can_be_disconnected(
    config: ZMQConfig, waits: threading.Event
) -> None:
    with ZMQServer(config=config) as server, ZMQClient(config=config) as client:
        server.stop()
        errors: list[Exception] = []

        def wait() -> None:
            try:
                client.reconnect(PATIENCE_SECONDS)
            except TransportError as error:
                errors.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert waits.wait(PATIENCE_SECONDS)
        client.disconnect()
        waiting.join(PATIENCE_SECONDS)
        assert [type(error) for error in errors] == [NotConnected]
