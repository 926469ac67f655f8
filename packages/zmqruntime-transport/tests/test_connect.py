"""Connect: a client attaches to a server, or raises the reason within its timeout."""

from __future__ import annotations

import dataclasses
import gc
import http.server
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from transport_peers import PATIENCE_SECONDS, FakeServer, OpenServer, RawPeer, make_pong

from zmqruntime.messages import PingRequest, ShutdownMode
from zmqruntime.transport import (
    ConnectionFailed,
    Endpoint,
    EndpointError,
    NotConnected,
    RequestTimeout,
    ServerSession,
    TransportError,
    TransportMode,
    ZMQClient,
    ZMQConfig,
    ZMQServer,
)
from zmqruntime.transport.client.outcome import Outcome

TCP = TransportMode.TCP

ipc = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no socket files there")

BareContext = zmq.Context[zmq.Socket[bytes]]


@pytest.fixture
def tcp_endpoint(config: ZMQConfig) -> Endpoint:
    return ZMQClient(config=config, transport_mode=TCP).endpoint


@pytest.fixture
def listen(tcp_endpoint: Endpoint) -> Iterator[Callable[[Callable[[socket.socket], None]], None]]:
    """Listen on the control port with a plain socket, and handle every connection."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", tcp_endpoint.control_port))
    listener.listen()
    threads = []

    def serve(treat: Callable[[socket.socket], None]) -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if over.is_set():
                    return
                treat(connection)

    def start(treat: Callable[[socket.socket], None]) -> None:
        threads.append(threading.Thread(target=serve, args=(treat,)))
        threads[0].start()

    over = threading.Event()
    yield start
    over.set()
    with socket.create_connection(listener.getsockname()):
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    listener.close()


# -- a running server ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(TransportMode))
def test_client_attaches_to_a_running_server(config: ZMQConfig, mode: TransportMode) -> None:
    if mode is TransportMode.IPC and not hasattr(socket, "AF_UNIX"):
        pytest.skip("no ipc there")
    with (
        ZMQServer(config=config, transport_mode=mode) as server,
        ZMQClient(config=config, transport_mode=mode) as client,
    ):
        assert client.connected
        assert client.endpoint == server.endpoint
        assert client.ping().process.pid == os.getpid()


def test_second_connect_does_nothing(server: OpenServer) -> None:
    client = ZMQClient(config=server.config)
    assert not client.connected
    first = client.connect()
    assert client.connect() is first
    client.disconnect()
    assert not client.connected
    client.disconnect()


def test_client_can_connect_again(server: OpenServer) -> None:
    client = ZMQClient(config=server.config)
    for _ in range(3):
        with client:
            assert client.ping().ready


def test_disconnect_keeps_an_attached_server_running(server: OpenServer) -> None:
    with ZMQClient(config=server.config, persistent=False) as client:
        client.ping()
    assert server.running
    with ZMQClient(config=server.config) as client:
        assert client.ping().ready


def test_calls_of_an_unconnected_client_raise_not_connected(server: OpenServer) -> None:
    client = ZMQClient(config=server.config)
    with pytest.raises(NotConnected, match=r"not connected: call connect\(\) first"):
        client.ping()
    with client:
        client.ping()
    with pytest.raises(NotConnected):
        client.ping()
    with pytest.raises(NotConnected):
        client.subscribe([b""], lambda messages: None, lambda connected: None)


def test_client_can_stop_the_server(server: OpenServer) -> None:
    with ZMQClient(config=server.config) as client:
        client.shutdown_server(ShutdownMode.NOW)
        server.serve_forever()
    assert not server.running


def test_refused_shutdown_is_raised_with_its_reason(endpoint: Endpoint, config: ZMQConfig) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes]:
        *envelope, body = received[-1]
        refusal = b'{"type":"error","status":"error","code":"internal","message":"never"}'
        return [*envelope, make_pong() if b'"ping"' in body else refusal]

    with FakeServer(endpoint, answer), ZMQClient(config=config) as client:
        client.ping()
        with pytest.raises(TransportError, match="refused a shutdown request: never"):
            client.shutdown_server()


def test_refused_ping_is_raised_with_its_reason(endpoint: Endpoint, config: ZMQConfig) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes]:
        refusal = b'{"type":"error","status":"error","code":"internal","message":"not now"}'
        return [*received[-1][:-1], make_pong() if len(received) == 1 else refusal]

    with FakeServer(endpoint, answer), ZMQClient(config=config) as client:
        assert client.config is config
        with pytest.raises(TransportError, match="refused a ping request: not now"):
            client.ping()


# -- no server -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(TransportMode))
def test_connect_without_a_server_fails_immediately(config: ZMQConfig, mode: TransportMode) -> None:
    if mode is TransportMode.IPC and not hasattr(socket, "AF_UNIX"):
        pytest.skip("no ipc there")
    client = ZMQClient(config=config, transport_mode=mode)
    for _ in range(3):
        with pytest.raises(ConnectionFailed) as caught:
            client.connect(PATIENCE_SECONDS)
        assert str(caught.value) == (
            f"no server listens on {client.endpoint}: start one, or give the client a launcher"
        )
    assert not client.connected


@ipc
def test_stale_socket_file_counts_as_no_server(config: ZMQConfig, endpoint: Endpoint) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(endpoint.control_path))
    with pytest.raises(ConnectionFailed, match="no server listens"):
        ZMQClient(config=config).connect(PATIENCE_SECONDS)
    assert endpoint.control_path.exists()


@ipc
def test_missing_directory_counts_as_no_server(runtime_dir: Path) -> None:
    config = ZMQConfig(runtime_dir=runtime_dir / "none")
    with pytest.raises(ConnectionFailed, match="no server listens"):
        ZMQClient(config=config).connect(PATIENCE_SECONDS)
    assert not (runtime_dir / "none").exists()


@ipc
def test_directory_that_other_users_can_write_is_refused(
    server: OpenServer, runtime_dir: Path
) -> None:
    runtime_dir.chmod(0o755)
    client = ZMQClient(config=server.config)
    with pytest.raises(EndpointError, match="others can enter"):
        client.connect()
    runtime_dir.chmod(0o700)
    with client:
        assert client.ping().ready


@ipc
def test_directory_that_cannot_be_examined_is_an_error(runtime_dir: Path) -> None:
    (runtime_dir / "file").write_text("")
    client = ZMQClient(config=ZMQConfig(runtime_dir=runtime_dir / "file" / "x"))
    with pytest.raises(EndpointError, match="cannot be examined"):
        client.connect()


def test_invalid_address_is_named(config: ZMQConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])  # As if it had an address.
    with pytest.raises(EndpointError, match="cannot connect to"):
        ZMQClient(host="not a host", config=config).connect(PATIENCE_SECONDS)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "not a host", "x" * 100])
def test_host_without_an_address_is_named(
    config: ZMQConfig, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    getaddrinfo = socket.getaddrinfo

    def fail_for_invalid(name: str, *args: Any, **options: Any) -> Any:
        if name.endswith(".invalid"):  # A network may resolve it slowly, or falsely.
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return getaddrinfo(name, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", fail_for_invalid)
    with pytest.raises(ConnectionFailed, match=f"^host '{host}' cannot be resolved"):
        ZMQClient(host=host, config=config).connect(PATIENCE_SECONDS)


def test_slow_host_lookup_times_out(config: ZMQConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: given_up.wait(PATIENCE_SECONDS))
    try:
        with pytest.raises(RequestTimeout, match="'lab-server' was not resolved in time"):
            ZMQClient(host="lab-server", config=config).connect(0.1)
    finally:
        given_up.set()


@pytest.mark.parametrize("seconds", [0, -1])
def test_timeout_of_zero_does_not_blame_the_server(
    config: ZMQConfig, endpoint: Endpoint, seconds: float
) -> None:
    with (
        FakeServer(endpoint, lambda _: None),
        pytest.raises(RequestTimeout, match="failed: the timeout leaves no time for a reply"),
    ):
        ZMQClient(config=config).connect(seconds)


# -- another program -------------------------------------------------------------------------


def test_web_server_on_the_control_port_is_not_a_server(
    config: ZMQConfig, tcp_endpoint: Endpoint
) -> None:
    address = ("127.0.0.1", tcp_endpoint.control_port)
    with http.server.ThreadingHTTPServer(address, http.server.BaseHTTPRequestHandler) as web:
        serving = threading.Thread(target=web.serve_forever, args=(0.01,))
        serving.start()
        with pytest.raises(RequestTimeout, match="no ZeroMQ handshake in time"):
            ZMQClient(config=config, transport_mode=TCP).connect(0.3)
        web.shutdown()
        serving.join()


GREETINGS = {
    "mail": b"220 mail.example.org ready for you, who are not the one I expect here\r\n",
    "web": b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"<html>" + b"x" * 500,
}


@pytest.mark.parametrize("greeting", [*GREETINGS])
@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "holds on"])
def test_peer_of_another_protocol_is_not_a_server(
    config: ZMQConfig,
    listen: Callable[[Callable[[socket.socket], None]], None],
    greeting: str,
    hangs_up: bool,
) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(GREETINGS[greeting])
        while not hangs_up and connection.recv(100):
            pass

    listen(greet)
    client = ZMQClient(config=config, transport_mode=TCP)
    with pytest.raises((ConnectionFailed, RequestTimeout)) as caught:
        client.connect(1)
    assert "the peer" in str(caught.value) or "no ZeroMQ handshake" in str(caught.value)


def test_peer_that_closes_each_connection_is_not_a_server(
    config: ZMQConfig, listen: Callable[[Callable[[socket.socket], None]], None]
) -> None:
    listen(lambda connection: None)
    with pytest.raises(ConnectionFailed, match="closed the connection before the ZeroMQ handshake"):
        ZMQClient(config=config, transport_mode=TCP).connect(PATIENCE_SECONDS)


def test_silent_listener_is_waited_for_until_the_timeout(
    config: ZMQConfig, tcp_endpoint: Endpoint
) -> None:
    # Every other timeout is longer than the test waits.
    endless = dataclasses.replace(config, connect_timeout=600, request_timeout=600)
    with socket.create_server(("127.0.0.1", tcp_endpoint.control_port)):
        start = time.monotonic()
        with pytest.raises(RequestTimeout, match="no ZeroMQ handshake"):
            ZMQClient(config=endless, transport_mode=TCP).connect(0.2)
        assert 0.2 <= time.monotonic() - start < PATIENCE_SECONDS


def test_silent_zeromq_peer_is_waited_for_until_the_timeout(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    silent = FakeServer(endpoint, lambda received: None)
    with (
        silent,
        pytest.raises(TimeoutError, match=r"the ping request .* failed: no reply in time"),
    ):
        ZMQClient(config=config).connect(0.2)


@pytest.mark.parametrize(
    "reply", [b"hello", b"{}", b'{"type":"pong"}', b'{"type":"reply","status":"ok"}']
)
def test_zeromq_peer_with_another_protocol_is_not_a_server(
    config: ZMQConfig, endpoint: Endpoint, reply: bytes
) -> None:
    def answer(received: list[list[bytes]]) -> list[bytes]:
        return [*received[-1][:-1], reply]

    strange = FakeServer(endpoint, answer)
    with strange, pytest.raises(ConnectionFailed, match="is not a zmqruntime server"):
        ZMQClient(config=config).connect(PATIENCE_SECONDS)


def test_peer_that_does_not_reply_with_a_pong_is_not_a_server(
    config: ZMQConfig, endpoint: Endpoint
) -> None:
    replies = [
        b'{"type":"ok","status":"ok"}',
        b'{"type":"error","status":"error","code":"internal","message":"no pings here"}',
    ]

    def answer(received: list[list[bytes]]) -> list[bytes]:
        return [*received[-1][:-1], replies[len(received) - 1]]

    with FakeServer(endpoint, answer):
        for reason in ("a reply ok", "no pings here"):
            with pytest.raises(
                ConnectionFailed, match=f"replied to a ping with an error: {reason}"
            ):
                ZMQClient(config=config).connect(PATIENCE_SECONDS)


# -- a server that is not ready --------------------------------------------------------------


class LateSession(ServerSession):
    is_ready = False

    @property
    def ready(self) -> bool:
        return self.is_ready


class LateServer(OpenServer):
    def make_session(self) -> ServerSession:
        self.session: LateSession = LateSession("LateServer", "0", self.endpoint, self.config)
        return self.session

    def become_ready(self) -> None:
        self.session.is_ready = True
        self.session.became_ready()


def test_connect_returns_when_the_server_is_ready(config: ZMQConfig, context: BareContext) -> None:
    with LateServer(config=config) as server:
        connected = threading.Event()
        client = ZMQClient(config=config)

        def connect() -> None:
            assert client.connect().ready
            connected.set()

        connecting = threading.Thread(target=connect)
        connecting.start()
        while not server.session._held_pings:
            assert RawPeer(context, zmq.REQ, server.endpoint.control_address).ask({"type": "ping"})
        assert not connected.is_set()
        server.in_loop(server.become_ready)
        assert connected.wait(PATIENCE_SECONDS)
        connecting.join()
        client.disconnect()


def test_server_that_does_not_get_ready_is_named(config: ZMQConfig) -> None:
    with LateServer(config=config), pytest.raises(RequestTimeout) as caught:
        ZMQClient(config=config).connect(1.0)
    assert str(caught.value) == (
        f"the server LateServer (process {os.getpid()}) was not ready in time"
    )


def test_unknown_pid_does_not_count_as_a_lost_server(
    server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As behind a tunnel: the address is local, and the process is not.
    monkeypatch.setattr(
        "zmqruntime.transport.process.identity.ProcessIdentity.is_running", lambda _: False
    )
    with ZMQClient(config=server.config) as client:
        client._connected()._server.raise_if_ended(Outcome.LOST)


def test_garbage_collected_client_warns_and_closes_its_sockets(server: OpenServer) -> None:
    client = ZMQClient(config=server.config)
    client.connect()
    client.ping()
    client.itself = client  # type: ignore[attr-defined]  # A cycle: only the garbage collector frees it.
    del client
    with pytest.warns(ResourceWarning, match="was garbage-collected while connected"):
        gc.collect()
    with ZMQClient(config=server.config) as another:
        another.ping()


def test_pipeline_keeps_its_client_alive(server: OpenServer) -> None:
    client = ZMQClient(config=server.config)
    client.connect()
    replies = client.pipeline(PingRequest() for _ in range(200))
    next(replies)
    del client
    gc.collect()
    with pytest.warns(ResourceWarning, match="was garbage-collected"):
        assert len(list(replies)) == 199
