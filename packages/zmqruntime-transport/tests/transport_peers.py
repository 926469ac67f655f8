"""Test peers of servers and clients: bare sockets, fake servers, and waits for a condition."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import zmq

from zmqruntime.messages import (
    PongReply,
    ProcessInfo,
    RegisterProgressRequest,
    Reply,
    encode,
)
from zmqruntime.transport import (
    ConnectionFailed,
    Endpoint,
    NotConnected,
    RequestTimeout,
    ServerLost,
    ServerSession,
    ZMQClient,
    ZMQConfig,
    ZMQServer,
)

PATIENCE_SECONDS = 30.0
"""The timeout of a test's waits: only a failing test reaches it."""

Json = dict[str, Any]


def eventually(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds, where nothing notifies of it."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < give_up_at, "the condition never held"
        pause.wait(0.005)


def free_tcp_ports() -> tuple[int, int]:
    """Return two free ports outside the system's ephemeral range."""
    for _ in range(100):
        ports = random.sample(range(20_000, 32_000), 2)
        try:
            for port in ports:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return min(ports), max(ports)
    raise AssertionError("no port is free")


def make_pong(*, pid: int = 0, create_time: float = 0.0) -> bytes:
    """Return the pong of a ready server."""
    return encode(
        PongReply(
            ready=True,
            server="Fake",
            version="0",
            port=1,
            control_port=2,
            process=ProcessInfo(pid=pid or os.getpid(), create_time=create_time),
            started_at=0.0,
            uptime_seconds=0.0,
            max_message_bytes=1000,
        )
    )


class RawPeer:
    """A peer with one bare ZeroMQ socket, without this project's code."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], kind: int, address: str) -> None:
        self._delimiter = [] if kind == zmq.REQ else [b""]
        self.socket = context.socket(kind)
        self.socket.linger = 0
        self.socket.rcvtimeo = self.socket.sndtimeo = int(PATIENCE_SECONDS * 1000)
        self.socket.connect(address)

    def ask(self, request: bytes | Json) -> Json:
        """Send one request as a REQ socket does, and return the reply."""
        self.send(request)
        return self.receive()

    def send(self, request: bytes | Json) -> None:
        """Send one request."""
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.socket.send_multipart([*self._delimiter, body])

    def receive(self) -> Json:
        """Return the next reply."""
        reply = json.loads(self.socket.recv_multipart()[-1])
        assert isinstance(reply, dict)
        return reply


class FakeServer:
    """A bare ROUTER at the server's endpoint; ``answer`` returns its replies, or None."""

    def __init__(
        self,
        endpoint: Endpoint,
        answer: Callable[[list[list[bytes]]], list[bytes] | None],
    ) -> None:
        self.received: list[list[bytes]] = []
        self._answer = answer
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.linger = 0
        self._router.bind(endpoint.control_address)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._context.term()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                self.received.append(self._router.recv_multipart())
                frames = self._answer(self.received)
                if frames is not None:
                    self._router.send_multipart(frames)
        except zmq.ContextTerminated:
            self._router.close()


class OpenServer(ZMQServer):
    """A server whose session is accessible to tests."""

    session: ServerSession

    def make_session(self) -> ServerSession:
        self.session = super().make_session()
        return self.session

    def in_loop(self, action: Callable[[], object]) -> None:
        """Run an action in the server's thread, and wait for its end."""
        done = threading.Event()

        def run() -> None:
            try:
                action()
            finally:
                done.set()

        self.session.loop.post(run)
        assert done.wait(PATIENCE_SECONDS)


HELD = RegisterProgressRequest(client_id="unsubscribed")
"""A request that a server holds: the client has no subscription."""


def impatient(config: ZMQConfig, retry_interval: float = 0.05) -> ZMQConfig:
    """Return a config whose clients retry soon, and whose servers hold replies for long.

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
    """The outcomes of requests that other threads send."""

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


def swallow(first: int) -> Callable[[list[list[bytes]]], list[bytes] | None]:
    """Answer the ping of connect, then drop this many requests, then answer again."""

    def answer(received: list[list[bytes]]) -> list[bytes] | None:
        if 1 < len(received) <= first + 1:
            return None
        *envelope, body = received[-1]
        reply = json.loads(make_pong())
        reply["request_id"] = json.loads(body).get("request_id")
        return [*envelope, json.dumps(reply).encode()]

    return answer
