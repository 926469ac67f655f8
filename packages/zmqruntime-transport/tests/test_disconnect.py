"""Disconnect: every call under way ends, and nothing stays open."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import psutil
import pytest
import zmq
from transport_peers import (
    HELD,
    PATIENCE_SECONDS,
    OpenServer,
    Outcomes,
    eventually,
    impatient,
)

from zmqruntime.messages import (
    PingRequest,
)
from zmqruntime.transport import (
    ConnectionFailed,
    NotConnected,
    ZMQClient,
    ZMQConfig,
)
from zmqruntime.transport.client.tracked_context import TrackedContext

BareContext = zmq.Context[zmq.Socket[bytes]]


def disconnect_in_time(client: ZMQClient) -> None:
    """Disconnect; a disconnect that hangs fails the test instead of blocking the run."""
    apart = threading.Thread(target=client.disconnect, daemon=True)
    apart.start()
    apart.join(PATIENCE_SECONDS)
    assert not apart.is_alive()


def test_disconnect_ends_held_requests_of_other_threads(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the test: after it, their sockets are closed by force.
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


def test_disconnect_between_two_replies_ends_a_pipeline(
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


def test_disconnect_while_the_source_runs_ends_a_pipeline(server: OpenServer) -> None:
    client = ZMQClient(config=server.config)

    def requests() -> Iterator[PingRequest]:
        yield PingRequest()
        client.disconnect()
        yield PingRequest()

    client.connect()
    with pytest.raises(NotConnected):
        list(client.pipeline(requests()))


def test_disconnect_ends_a_pipeline_that_continues_in_another_thread(server: OpenServer) -> None:
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


def test_threads_can_connect_and_disconnect_concurrently(server: OpenServer) -> None:
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
            except Exception as error:  # noqa: BLE001 - asserted below
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


def test_disconnect_leaves_no_thread_file_or_context(
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
    eventually(lambda: not server.session.registrations.has_subscribers)
    gc.collect()
    before = threading.active_count(), me.num_threads(), handles()
    monkeypatch.setattr("zmqruntime.transport.client.connection.TrackedContext", NotedContext)
    for _ in range(5):
        use_client()
    assert len(contexts) == 5
    assert all(context.closed for context in contexts)
    assert threading.active_count() == before[0]
    # The threads and the server's ends of the connections disappear a moment later.
    eventually(lambda: me.num_threads() <= before[1] and handles() <= before[2])


def test_failed_connect_leaves_no_thread(config: ZMQConfig) -> None:
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


def test_requests_can_be_sent_before_the_close(server: OpenServer) -> None:
    class LastRequest(ZMQClient):
        reply = ""

        def _before_close(self) -> None:
            self.reply = self.ping().type

    client = LastRequest(config=server.config)
    client.connect()
    client.disconnect()
    assert client.reply == "pong"


def test_error_before_the_close_leaves_nothing_open(server: OpenServer) -> None:
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


@pytest.mark.parametrize("at", ["attach_monitor", "configure_tcp"])
def test_interrupt_while_a_socket_opens_does_not_block_disconnect(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    client = ZMQClient(config=server.config)
    client.connect()
    client._connected()._requester._pool._idle.pop().close()
    for module in ("channel", "subscriber"):
        monkeypatch.setattr(f"zmqruntime.transport.client.{module}.{at}", interrupted)
    with pytest.raises(KeyboardInterrupt) as from_request:
        client.ping()
    with pytest.raises(KeyboardInterrupt) as from_subscriber:
        client.subscribe([b""], lambda *_: None, lambda _: None)
    # The end of the context waits only for open sockets.
    monkeypatch.setattr("zmqruntime.transport.client.connection._LEAVE_SECONDS", 600.0)
    disconnect_in_time(client)
    del from_request, from_subscriber  # They kept every frame alive.
