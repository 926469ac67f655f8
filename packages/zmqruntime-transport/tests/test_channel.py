"""A control connection delivers every reply before its end."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS

from zmqruntime.transport import Endpoint, ZMQConfig
from zmqruntime.transport.client.channel import Channel
from zmqruntime.transport.client.outcome import Outcome
from zmqruntime.transport.lowlevel import Deadline
from zmqruntime.transport.socket_poller import READ, SocketPoller

BareContext = zmq.Context[zmq.Socket[bytes]]


class MonitorFirst:
    """A poller that reports only the connection's events, for a number of polls."""

    def __init__(self, channel: Channel, polls: int) -> None:
        assert channel._monitor is not None
        self._monitor = channel._monitor
        self._poller = channel._poller
        self._polls = polls

    def poll(self, seconds: float) -> dict[Any, int]:
        self._polls -= 1
        if self._polls < 0:
            return self._poller.poll(seconds)
        return {self._monitor: READ} if self._monitor.poll(int(1000 * seconds)) else {}

    def close(self) -> None:
        self._poller.close()


@pytest.mark.parametrize("polls", [0, 3])
def test_replies_are_received_before_the_end_of_the_connection(
    config: ZMQConfig, endpoint: Endpoint, context: BareContext, polls: int
) -> None:
    router = context.socket(zmq.ROUTER)
    router.linger = 1000
    router.bind(endpoint.control_address)
    channel = Channel(context, endpoint, config)
    try:
        channel.send(b"request")
        peer, *_ = router.recv_multipart()
        for reply in (b"first", b"second", b"last"):
            router.send_multipart([peer, b"", reply])
        router.close()
        # Three events: connected, handshake succeeded, disconnected.
        channel._poller = cast(SocketPoller, MonitorFirst(channel, polls))
        deadline = Deadline.after(PATIENCE_SECONDS)
        received = [channel.receive(deadline) for _ in range(5)]
        assert received == [b"first", b"second", b"last", Outcome.LOST, Outcome.LOST]
    finally:
        channel.close()


class SpuriouslyReady:
    """A poller that reports a socket without messages as readable, for a number of polls."""

    def __init__(self, channel: Channel, polls: int) -> None:
        self._socket = channel._socket
        self._poller = channel._poller
        self._polls = polls

    def poll(self, seconds: float) -> dict[Any, int]:
        self._polls -= 1
        return {self._socket: READ} if self._polls >= 0 else self._poller.poll(seconds)

    def close(self) -> None:
        self._poller.close()


def test_spurious_readiness_of_a_socket_does_not_end_the_wait(
    config: ZMQConfig, endpoint: Endpoint, context: BareContext
) -> None:
    router = context.socket(zmq.ROUTER)
    router.bind(endpoint.control_address)
    channel = Channel(context, endpoint, config)
    try:
        channel.send(b"request")
        peer, *_ = router.recv_multipart()
        channel._poller = cast(SocketPoller, SpuriouslyReady(channel, 3))
        sender = threading.Timer(0.05, router.send_multipart, ([peer, b"", b"reply"],))
        sender.start()
        assert channel.receive(Deadline.after(PATIENCE_SECONDS)) == b"reply"
        sender.join()
    finally:
        channel.close()
        router.close()
