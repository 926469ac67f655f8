"""After `disconnect` in another thread, every call under way raises NotConnected.

Backoffs, holds and timeouts are so long that a call which waits for one fails its test.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from transport_peers import PATIENCE_SECONDS, FakeServer, OpenServer, eventually, swallow

from zmqruntime.messages import PingRequest
from zmqruntime.transport import (
    Endpoint,
    NotConnected,
    SubprocessLauncher,
    ZMQClient,
    ZMQConfig,
    ZMQServer,
)
from zmqruntime.transport.backoff import Backoff
from zmqruntime.transport.client import attach
from zmqruntime.transport.client.close_signal import CloseSignal
from zmqruntime.transport.client.connection import Connection
from zmqruntime.transport.process.lock_file import acquire_lock

HOUR = 3600.0

MakeLauncher = Callable[..., SubprocessLauncher]
Run = Callable[[Callable[[], object]], "Future[object]"]


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a call in another thread."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a client begins a wait that no socket wakes; backoffs last an hour."""
    begun = threading.Event()
    wait_for = CloseSignal._wait_for

    def notify(signal: CloseSignal, condition: Callable[[], bool], seconds: float) -> bool:
        begun.set()
        return wait_for(signal, condition, seconds)

    monkeypatch.setattr(CloseSignal, "_wait_for", notify)
    monkeypatch.setattr(attach, "_BACKOFF", Backoff(HOUR, HOUR))
    return begun


def end_by_disconnect(client: ZMQClient, call: Future[object]) -> None:
    """Disconnect, and check that the call ends for that reason."""
    assert not call.done()
    client.disconnect()
    assert isinstance(call.exception(PATIENCE_SECONDS), NotConnected)
    assert not client.connected


# -- calls of a connected client ------------------------------------------------------------------

CALLS: dict[str, Callable[[ZMQClient], object]] = {
    "ping": lambda client: client.ping(HOUR),
    "request": lambda client: client.request(PingRequest(wait_seconds=60), 1.0, hold=HOUR),
    "exchange": lambda client: client.exchange([PingRequest(), PingRequest()], HOUR),
    "pipeline": lambda client: list(client.pipeline([PingRequest()], HOUR)),
    "shutdown_server": lambda client: client.shutdown_server(timeout=HOUR),
    "reconnect": lambda client: client.reconnect(HOUR),
}


@pytest.mark.parametrize("name", CALLS)
def test_call_that_waits_for_a_reply_ends(
    config: ZMQConfig, endpoint: Endpoint, run: Run, name: str
) -> None:
    client = ZMQClient(config=config)
    with FakeServer(endpoint, swallow(1000)) as fake:
        client.connect()
        call = run(lambda: CALLS[name](client))
        eventually(lambda: len(fake.received) > 1)
        end_by_disconnect(client, call)


def test_reconnect_between_two_attempts_ends(
    config: ZMQConfig, waits: threading.Event, run: Run
) -> None:
    # Each connection is closed, which is retried after the backoff.
    client = ZMQClient(config=config, host="127.0.0.1")
    with ZMQServer(config=config, host="127.0.0.1") as server:
        client.connect()
        server.stop()
        with socket.create_server(("127.0.0.1", server.endpoint.control_port)) as listener:

            def close_connections() -> None:
                while not waits.is_set():
                    listener.accept()[0].close()

            closer = run(close_connections)
            call = run(lambda: client.reconnect(HOUR))
            assert waits.wait(PATIENCE_SECONDS)
            end_by_disconnect(client, call)
            with socket.create_connection(listener.getsockname()):
                closer.result(PATIENCE_SECONDS)


def test_wait_for_the_end_of_the_server_ends(
    config: ZMQConfig, make_launcher: MakeLauncher, run: Run
) -> None:
    with ZMQClient(config=config, launcher=make_launcher()) as owner:
        client = ZMQClient(config=config)
        client.connect()
        call = run(client.wait_for_server_end)
        end_by_disconnect(client, call)
        owner.shutdown_server()
        assert owner.wait_for_server_end(PATIENCE_SECONDS)


def test_wait_for_the_end_of_the_server_process_ends(
    server: OpenServer, waits: threading.Event, run: Run
) -> None:
    # The server stops listening, and its process, which is this one, goes on.
    client = ZMQClient(config=server.config)
    client.connect()
    call = run(client.wait_for_server_end)
    server.stop()
    assert waits.wait(PATIENCE_SECONDS)
    end_by_disconnect(client, call)


def test_pause_before_a_retry_ends(server: OpenServer, waits: threading.Event, run: Run) -> None:
    client = ZMQClient(config=server.config)
    client.connect()
    call = run(lambda: client.pause(HOUR))
    assert waits.wait(PATIENCE_SECONDS)
    end_by_disconnect(client, call)
    with pytest.raises(NotConnected):
        client.pause(HOUR)


def test_pause_before_a_retry_ends_before_requests_at_the_close(
    server: OpenServer, waits: threading.Event
) -> None:
    class Client(ZMQClient):
        def _before_close(self) -> None:
            assert isinstance(call.exception(PATIENCE_SECONDS), NotConnected)
            assert self.ping().ready

    client = Client(config=server.config)
    client.connect()
    with ThreadPoolExecutor() as threads:
        call = threads.submit(client.pause, HOUR)
        assert waits.wait(PATIENCE_SECONDS)
        client.disconnect()


# -- connect --------------------------------------------------------------------------------------


@pytest.fixture
def client(config: ZMQConfig) -> ZMQClient:
    return ZMQClient(config=config)


def test_connect_to_a_silent_server_ends(client: ZMQClient, run: Run) -> None:
    with FakeServer(client.endpoint, lambda _: None) as fake:
        call = run(lambda: client.connect(HOUR))
        eventually(lambda: fake.received)
        end_by_disconnect(client, call)


class CountingLock:
    """A lock that counts the threads that have it or wait for it."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.count += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self.count -= 1


def test_connect_ends_with_every_thread_that_waits_for_it(
    client: ZMQClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = CountingLock()
    monkeypatch.setattr(client._slot, "_lock", lock)
    with FakeServer(client.endpoint, lambda _: None) as fake:
        calls = [run(lambda: client.connect(HOUR)) for _ in range(4)]
        eventually(lambda: fake.received and lock.count == 4)
        client.disconnect()
        errors = [call.exception(PATIENCE_SECONDS) for call in calls]
        assert [type(error) for error in errors] == [NotConnected] * 4


def test_connect_that_waits_for_the_launch_lock_ends(
    config: ZMQConfig, make_launcher: MakeLauncher, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ZMQClient(config=config, launcher=make_launcher())
    reached = threading.Event()

    def notify(path: Path, *arguments: object, **options: object) -> object:
        reached.set()
        return acquire_lock(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(attach, "acquire_lock", notify)
    with ExitStack() as ends:
        lock = acquire_lock(client.endpoint.launch_lock_path, 0)
        ends.callback(lock.release)
        call = run(lambda: client.connect(HOUR))
        assert reached.wait(PATIENCE_SECONDS)
        end_by_disconnect(client, call)


def test_connect_that_resolves_a_host_ends(
    config: ZMQConfig, run: Run, waits: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: given_up.wait(HOUR))
    client = ZMQClient(host="lab-server", config=config)
    try:
        call = run(lambda: client.connect(HOUR))
        assert waits.wait(PATIENCE_SECONDS)
        end_by_disconnect(client, call)
    finally:
        given_up.set()


def test_connect_that_launches_a_server_ends_and_kills_it(
    config: ZMQConfig, make_launcher: MakeLauncher, run: Run
) -> None:
    launcher = make_launcher("unready")
    servers = []
    launch = launcher.launch

    def keep(*arguments: object, **options: object) -> object:
        servers.append(launch(*arguments, **options))  # type: ignore[arg-type]
        return servers[-1]

    launcher.launch = keep  # type: ignore[method-assign, assignment]
    client = ZMQClient(config=config, launcher=launcher)
    call = run(lambda: client.connect(HOUR))
    eventually(lambda: servers and "serves" in servers[0].log_tail())
    end_by_disconnect(client, call)
    assert servers[0].wait(PATIENCE_SECONDS) is not None


def test_connect_that_has_just_attached_ends(
    server: OpenServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached, closing = threading.Event(), threading.Event()
    establish, interrupt = Connection.establish, Connection.interrupt

    def establish_slowly(connection: Connection, *arguments: object, **options: object) -> None:
        establish(connection, *arguments, **options)  # type: ignore[arg-type]
        attached.set()
        assert closing.wait(PATIENCE_SECONDS)

    def interrupt_first(connection: Connection) -> None:
        interrupt(connection)
        closing.set()

    monkeypatch.setattr(Connection, "establish", establish_slowly)
    monkeypatch.setattr(Connection, "interrupt", interrupt_first)
    client = ZMQClient(config=server.config)
    call = run(client.connect)
    assert attached.wait(PATIENCE_SECONDS)
    end_by_disconnect(client, call)


def test_client_can_connect_after_an_interrupted_connect(
    config: ZMQConfig, client: ZMQClient, run: Run
) -> None:
    with FakeServer(client.endpoint, lambda _: None) as fake:
        call = run(lambda: client.connect(HOUR))
        eventually(lambda: fake.received)
        end_by_disconnect(client, call)
    with ZMQServer(config=config):
        assert client.connect().ready
        client.disconnect()


def test_disconnect_by_the_launcher_ends_the_connect_that_called_the_launcher(
    config: ZMQConfig, make_launcher: MakeLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = make_launcher()
    launch = launcher.launch
    client = ZMQClient(config=config, launcher=launcher)

    def disconnect_first(*arguments: object, **options: object) -> object:
        client.disconnect()
        return launch(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(launcher, "launch", disconnect_first)
    with pytest.raises(NotConnected):
        client.connect(PATIENCE_SECONDS)
    assert not client.connected
