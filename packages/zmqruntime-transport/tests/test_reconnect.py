"""Reconnect: a client continues with the server that is started next."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import zmq
from transport_peers import (
    PATIENCE_SECONDS,
)

from zmqruntime.messages import (
    PongReply,
)
from zmqruntime.transport import (
    Endpoint,
    NotConnected,
    ServerLost,
    TransportError,
    ZMQClient,
    ZMQConfig,
    ZMQServer,
)
from zmqruntime.transport.client.attach import Attacher

BareContext = zmq.Context[zmq.Socket[bytes]]
StartServer = Callable[[Endpoint], "subprocess.Popen[str]"]


def test_reconnect_uses_the_server_that_was_started_next(
    config: ZMQConfig, endpoint: Endpoint, start_server: StartServer
) -> None:
    first = start_server(endpoint)
    with ZMQClient(config=config) as client:
        assert client.may_return
        first.kill()
        first.wait(PATIENCE_SECONDS)
        assert not client.may_return  # It is not durable.
        with pytest.raises(ServerLost):
            client.ping()
        second = start_server(endpoint)
        assert client.reconnect(PATIENCE_SECONDS).process.pid == second.pid
        assert client.ping().process.pid == second.pid
        assert client.may_return


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a client begins to wait for its server."""
    event = threading.Event()
    attach_again = Attacher.attach_again

    def notify(*arguments: Any) -> PongReply:
        event.set()
        return attach_again(*arguments)

    monkeypatch.setattr(Attacher, "attach_again", notify)
    return event


def test_reconnect_waits_until_a_server_is_running(
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


def test_threads_can_reconnect_concurrently(config: ZMQConfig) -> None:
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


def test_reconnect_without_a_server_fails_at_its_timeout(config: ZMQConfig) -> None:
    with ZMQServer(config=config) as server, ZMQClient(config=config) as client:
        server.stop()
        start = time.monotonic()
        with pytest.raises(ServerLost, match="was lost and is not back in time"):
            client.reconnect(0.3)
        # The configuration's timeout is a minute.
        assert 0.3 <= time.monotonic() - start < PATIENCE_SECONDS


def test_disconnect_ends_a_reconnect(config: ZMQConfig, waits: threading.Event) -> None:
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
