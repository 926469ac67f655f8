"""A server that is too busy to accept connections is distinguished from a missing one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS, eventually

from zmqruntime.messages import PingRequest, PongReply
from zmqruntime.transport import (
    ConnectionFailed,
    Endpoint,
    EndpointError,
    LaunchedServer,
    RequestTimeout,
    ServerLauncher,
    ZMQClient,
    ZMQConfig,
)
from zmqruntime.transport.client.blocking_exchange import Requester
from zmqruntime.transport.client.channel import Channel
from zmqruntime.transport.client.exchange import RequestLimits
from zmqruntime.transport.client.outcome import Outcome
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.server import binding
from zmqruntime.transport.server.binding import BoundSockets

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no socket files there")

BareContext = zmq.Context[zmq.Socket[bytes]]
StartProcess = Callable[..., "subprocess.Popen[str]"]

CLIENTS = 150

SERVER = """
import sys
from pathlib import Path
from zmqruntime.transport import ZMQConfig, ZMQServer
from zmqruntime.transport.server import binding

data_port, offset, directory, backlog = sys.argv[1:]
binding._BACKLOG = int(backlog)
config = ZMQConfig(
    default_port=int(data_port), control_port_offset=int(offset), runtime_dir=Path(directory)
)
server = ZMQServer(config=config)
server.start()
print("serves", flush=True)
server.serve_forever()
"""


class NoLauncher(ServerLauncher):
    """A launcher that the test must not use."""

    def launch(self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool) -> LaunchedServer:
        raise AssertionError("a second server was launched")


class FullListener:
    """A socket file of a listener whose backlog is full."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._waiting: list[socket.socket] = []
        while self._connect():
            pass

    def _connect(self) -> bool:
        waiting = socket.socket(socket.AF_UNIX)
        waiting.setblocking(False)
        self._waiting.append(waiting)
        try:
            waiting.connect(str(self._path))
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._listener.close()
        for waiting in self._waiting:
            waiting.close()
        self._path.unlink(missing_ok=True)


@pytest.fixture
def full(endpoint: Endpoint) -> Iterator[FullListener]:
    listener = FullListener(endpoint.control_path)
    yield listener
    listener.close()


linux = pytest.mark.skipif(
    os.uname().sysname != "Linux" if hasattr(os, "uname") else True,
    reason="a full queue is refused as if there were none",
)


@linux
def test_full_queue_of_connections_does_not_count_as_no_server(
    config: ZMQConfig, full: FullListener
) -> None:
    client = ZMQClient(config=config, launcher=NoLauncher())
    with pytest.raises(RequestTimeout, match=r"queue of new connections is full.*try again"):
        client.connect(timeout=0.3)


@linux
def test_first_outcome_of_a_full_queue_is_busy(
    config: ZMQConfig, endpoint: Endpoint, context: BareContext, full: FullListener
) -> None:
    channel = Channel(context, endpoint, config)
    try:
        channel.send(b"request")
        assert channel.receive(Deadline.after(PATIENCE_SECONDS)) is Outcome.BUSY
        assert not channel.reconnects_after(Outcome.BUSY)
    finally:
        channel.close()


@linux
def test_client_waits_for_the_end_of_a_busy_server(
    config: ZMQConfig, endpoint: Endpoint, context: BareContext, full: FullListener
) -> None:
    requester = Requester(context, endpoint, config)
    try:
        assert not requester.wait_for_end(Deadline.after(0.2))
        full.close()
        assert requester.wait_for_end(Deadline.after(PATIENCE_SECONDS))
    finally:
        requester.close()


def test_missing_server_is_reported_before_the_timeout(config: ZMQConfig) -> None:
    client = ZMQClient(config=replace(config, connect_timeout=PATIENCE_SECONDS))
    with pytest.raises(ConnectionFailed, match="no server listens"):
        client.connect()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX modes")
def test_path_that_is_not_a_socket_is_named(config: ZMQConfig, endpoint: Endpoint) -> None:
    endpoint.control_path.write_text("not a socket")
    with pytest.raises(EndpointError, match=r"exists and is no socket"):
        ZMQClient(config=config, launcher=NoLauncher()).connect()


@pytest.mark.parametrize(
    ("files", "backlog"), [(None, 4096), (2**20, 4096), (20_000, 1250), (256, 32)]
)
def test_backlog_depends_on_the_limit_of_open_files(
    config: ZMQConfig,
    endpoint: Endpoint,
    context: BareContext,
    monkeypatch: pytest.MonkeyPatch,
    files: int | None,
    backlog: int,
) -> None:
    monkeypatch.setattr(binding, "read_file_limit", lambda: files)
    sockets = BoundSockets(context, endpoint, config)
    try:
        assert {sockets.control.backlog, sockets.data.backlog} == {backlog}
    finally:
        sockets.close()


@linux
@pytest.mark.parametrize("backlog", [2, 4096])
def test_paused_server_replies_to_all_clients_that_connected_meanwhile(
    config: ZMQConfig,
    endpoint: Endpoint,
    context: BareContext,
    start_process: StartProcess,
    backlog: int,
) -> None:
    server = start_process(
        "-c",
        SERVER,
        config.default_port,
        config.control_port_offset,
        config.runtime_dir,
        backlog,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "serves\n"
    requester = Requester(context, endpoint, config)
    refused: list[Outcome] = []

    all_started = threading.Barrier(CLIENTS + 1)

    def ask() -> object:
        all_started.wait(PATIENCE_SECONDS)
        limits = RequestLimits(PATIENCE_SECONDS)
        with requester.open(limits, check=refused.append) as exchange:
            return exchange.request(PingRequest(limit=0))

    server.send_signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(CLIENTS) as threads:
            asked = [threads.submit(ask) for _ in range(CLIENTS)]
            all_started.wait(PATIENCE_SECONDS)
            if backlog < CLIENTS:
                eventually(lambda: Outcome.BUSY in refused)
            server.send_signal(signal.SIGCONT)
            pongs = [pong.result(PATIENCE_SECONDS) for pong in asked]
    finally:
        server.send_signal(signal.SIGCONT)
        requester.close()
        server.terminate()
        server.wait(PATIENCE_SECONDS)
    assert all(isinstance(pong, PongReply) for pong in pongs)
    assert Outcome.REFUSED not in refused
