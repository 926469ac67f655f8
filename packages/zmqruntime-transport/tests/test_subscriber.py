"""A subscriber calls back in its own thread, and ends with its client."""

from __future__ import annotations

import contextlib
import select
import threading
from collections.abc import Callable, Sequence

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS, OpenServer, eventually

from zmqruntime.messages import RegisterProgressRequest, ShutdownMode
from zmqruntime.transport import NotConnected, ServerLost, Subscriber, ZMQClient, ZMQServer

BareContext = zmq.Context[zmq.Socket[bytes]]


def ignore_connection(connected: bool) -> None:
    """Ignore the state of the connection."""


class Messages:
    """The messages and connection states that a subscriber reported, and its threads."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, bytes]] = []
        self.calls = 0
        self.threads: set[threading.Thread] = set()
        self.connections: list[bool] = []
        self.then: Callable[[], None] = lambda: None

    def on_messages(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        self.received.extend(messages)
        self.calls += 1
        self.threads.add(threading.current_thread())
        self.then()

    def on_connection(self, connected: bool) -> None:
        self.connections.append(connected)

    def subscribe(self, client: ZMQClient, *prefixes: bytes) -> Subscriber:
        subscriber = client.subscribe(prefixes, self.on_messages, self.on_connection)
        name = prefixes[-1].decode().rstrip("/")
        assert client.request(RegisterProgressRequest(client_id=name)).type == "ok"
        return subscriber


def publish(server: OpenServer, topic: bytes, *frames: bytes) -> None:
    def publish_all() -> None:
        for frame in frames:
            server.session.publish(topic, frame)

    server.in_loop(publish_all)


def test_messages_arrive_in_order_in_the_subscriber_thread(server: OpenServer) -> None:
    messages = Messages()
    frames = [b"%d" % number for number in range(5000)]
    with ZMQClient(config=server.config) as client:
        subscriber = messages.subscribe(client, b"alice/")
        publish(server, b"alice/x", *frames)
        eventually(lambda: len(messages.received) >= 5000)
        subscriber.close()
    assert messages.received == [(b"alice/x", frame) for frame in frames]
    assert len(messages.threads) == 1
    assert threading.main_thread() not in messages.threads


def test_messages_of_a_connection_are_delivered_before_its_end(server: OpenServer) -> None:
    messages = Messages()
    at_the_end: list[int] = []
    connected, closed = threading.Event(), threading.Event()

    def on_connection(is_connected: bool) -> None:
        if is_connected:
            connected.set()
        else:
            at_the_end.append(len(messages.received))

    def hold_up() -> None:
        closed.wait(PATIENCE_SECONDS)

    messages.then = hold_up
    with ZMQClient(config=server.config) as client:
        subscriber = client.subscribe([b"alice/"], messages.on_messages, on_connection)
        assert client.request(RegisterProgressRequest(client_id="alice")).type == "ok"
        # While the first event of the connection is unread, ZMQ_FD signals no later one.
        assert connected.wait(PATIENCE_SECONDS)
        publish(server, b"alice/x", *[b"x"] * 1000)
        eventually(lambda: messages.received)
        server.stop()
        assert subscriber._monitor is not None
        descriptor = int(subscriber._monitor.getsockopt(zmq.FD))
        assert select.select([descriptor], [], [], PATIENCE_SECONDS)[0], (
            "the monitor has reported no end"
        )
        closed.set()
        eventually(lambda: at_the_end)
    assert at_the_end[0] == 1000


def test_only_subscribed_topics_arrive(server: OpenServer) -> None:
    messages = Messages()
    with ZMQClient(config=server.config) as client:
        messages.subscribe(client, b"alice/")
        publish(server, b"bob/x", b"no")
        publish(server, b"alicea/x", b"no")
        publish(server, b"alice/x", b"yes")
        eventually(lambda: messages.received)
    assert messages.received == [(b"alice/x", b"yes")]


def test_message_with_a_wrong_number_of_frames_is_logged_and_dropped(
    server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    messages = Messages()
    with ZMQClient(config=server.config) as client:
        messages.subscribe(client, b"alice/")
        server.in_loop(lambda: server.session._sockets.data.send(b"alice/x"))  # type: ignore[union-attr]
        publish(server, b"alice/x", b"fine")
        eventually(lambda: messages.received)
    assert "ignored a data message of 1 frames" in caplog.text


def test_no_message_arrives_after_close(server: OpenServer) -> None:
    messages = Messages()
    with ZMQClient(config=server.config) as client:
        subscriber = messages.subscribe(client, b"alice/")
        subscriber.close()
        subscriber.close()
        publish(server, b"alice/x", b"late")
        eventually(lambda: not server.session.registrations.has_subscribers)
    assert messages.received == []


def test_subscriber_can_be_closed_in_its_callback(server: OpenServer) -> None:
    messages = Messages()
    with ZMQClient(config=server.config) as client:
        subscriber = messages.subscribe(client, b"alice/")
        messages.then = subscriber.close
        publish(server, b"alice/x", *[b"x"] * 1000)
        eventually(lambda: not server.session.registrations.has_subscribers)
        subscriber.close()
    assert messages.calls == 1


def test_end_and_return_of_a_connection_are_reported(server: OpenServer) -> None:
    messages = Messages()
    with ZMQClient(config=server.config) as client:
        messages.subscribe(client, b"alice/")
        eventually(lambda: messages.connections == [True])
        server.stop()
        eventually(lambda: messages.connections == [True, False])
        server.start()
        eventually(lambda: messages.connections == [True, False, True])
        # The subscriptions persist.
        assert client.request(RegisterProgressRequest(client_id="alice")).type == "ok"
        publish(server, b"alice/x", b"again")
        eventually(lambda: messages.received)


def test_disconnect_closes_the_subscribers(server: OpenServer) -> None:
    messages = Messages()
    client = ZMQClient(config=server.config)
    client.connect()
    threads = threading.active_count()
    for name in (b"alice/", b"bob/", b"carol/"):
        messages.subscribe(client, name)
    client.disconnect()
    assert threading.active_count() == threads
    eventually(lambda: not server.session.registrations.has_subscribers)


def test_closed_connection_refuses_a_subscription(server: OpenServer) -> None:
    client = ZMQClient(config=server.config)
    client.connect()
    connection = client._connected()
    assert connection is not None
    client.disconnect()
    with pytest.raises(NotConnected, match="was disconnected"):
        connection.subscribe([b"x"], lambda messages: None, ignore_connection)


def test_disconnect_from_a_callback_is_refused_before_anything_is_closed(
    server: OpenServer,
) -> None:
    messages = Messages()
    raised: list[RuntimeError] = []
    client = ZMQClient(config=server.config)
    client.connect()

    def disconnect() -> None:
        try:
            client.disconnect()
        except RuntimeError as error:
            raised.append(error)

    messages.then = disconnect
    messages.subscribe(client, b"alice/")
    publish(server, b"alice/x", b"1", b"2")
    eventually(lambda: len(messages.received) == 2 and len(raised) == messages.calls)
    assert "call it from another thread" in str(raised[0])
    assert client.connected
    assert client.ping().ready
    client.disconnect()
    assert not client.connected


def test_callback_that_waits_for_a_reply_does_not_block_disconnect(
    server: OpenServer,
) -> None:
    messages = Messages()
    ended: list[Exception] = []
    client = ZMQClient(config=server.config)
    client.connect()

    def ask_what_is_held() -> None:
        try:
            client.request(RegisterProgressRequest(client_id="nobody"), 600)
        except (NotConnected, ServerLost) as error:
            ended.append(error)

    messages.then = ask_what_is_held
    messages.subscribe(client, b"alice/")
    publish(server, b"alice/x", b"1")
    eventually(lambda: server.session.registrations.waiting)
    disconnecting = threading.Thread(target=client.disconnect)
    disconnecting.start()
    disconnecting.join(PATIENCE_SECONDS)
    assert not disconnecting.is_alive()
    assert [type(error) for error in ended] == [NotConnected]


def test_subscribe_during_a_disconnect_succeeds_or_raises_not_connected(
    server: OpenServer,
) -> None:
    for _ in range(30):
        client = ZMQClient(config=server.config)
        client.connect()
        subscribed = threading.Event()

        def subscribe(client: ZMQClient = client, done: threading.Event = subscribed) -> None:
            with contextlib.suppress(NotConnected):
                client.subscribe([b"x"], lambda messages: None, ignore_connection)
            done.set()

        thread = threading.Thread(target=subscribe)
        thread.start()
        client.disconnect()
        assert subscribed.wait(PATIENCE_SECONDS)
        thread.join()
    eventually(lambda: not server.session.registrations.has_subscribers)


def test_ended_server_does_not_block_disconnect(server: OpenServer) -> None:
    messages = Messages()
    client = ZMQClient(config=server.config)
    client.connect()
    messages.subscribe(client, b"alice/")
    client.shutdown_server(ShutdownMode.NOW)
    server.serve_forever()
    assert isinstance(server, ZMQServer)
    disconnecting = threading.Thread(target=client.disconnect)
    disconnecting.start()
    disconnecting.join(PATIENCE_SECONDS)
    assert not disconnecting.is_alive()


def test_subscriber_that_was_far_behind_is_notified_when_it_has_caught_up(
    server: OpenServer,
) -> None:
    messages, caught_up, go_on = Messages(), threading.Event(), threading.Event()
    with ZMQClient(config=server.config) as client:
        subscriber = client.subscribe(
            [b"alice/"], messages.on_messages, messages.on_connection, caught_up.set
        )
        assert client.request(RegisterProgressRequest(client_id="alice")).type == "ok"
        publish(server, b"alice/x", b"a few")
        eventually(lambda: messages.received)
        assert not caught_up.is_set()

        def hold_up() -> None:
            go_on.wait(PATIENCE_SECONDS)

        messages.then = hold_up
        publish(server, b"alice/x", *[b"%d" % n for n in range(5000)])
        eventually(lambda: messages.calls == 2)
        go_on.set()
        assert caught_up.wait(PATIENCE_SECONDS)
        eventually(lambda: len(messages.received) == 5001)
        subscriber.close()


def test_subscriber_that_reads_a_burst_as_fast_as_it_comes_is_notified(server: OpenServer) -> None:
    messages, caught_up = Messages(), threading.Event()
    with ZMQClient(config=server.config) as client:
        subscriber = client.subscribe(
            [b"alice/"], messages.on_messages, messages.on_connection, caught_up.set
        )
        assert client.request(RegisterProgressRequest(client_id="alice")).type == "ok"
        for _ in range(101):
            messages.received.clear()
            publish(server, b"alice/x", *[b"a few"] * 10)
            eventually(lambda: len(messages.received) == 10)
        assert caught_up.wait(PATIENCE_SECONDS)
        subscriber.close()


def test_callback_can_schedule_a_call_in_the_same_thread(
    server: OpenServer,
) -> None:
    messages, called = Messages(), threading.Event()

    def call() -> None:
        messages.threads.add(threading.current_thread())
        called.set()

    with ZMQClient(config=server.config) as client:
        subscriber = messages.subscribe(client, b"alice/")

        def ask() -> None:
            subscriber.call_later(0.05, call)
            subscriber.call_later(0.0, lambda: pytest.fail("it was cancelled")).cancel()

        messages.then = ask
        publish(server, b"alice/x", b"1")
        assert called.wait(PATIENCE_SECONDS)
    assert len(messages.threads) == 1
