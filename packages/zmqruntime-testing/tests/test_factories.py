"""Servers and clients that are started by tests are stopped."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import psutil
import pytest
from sample_apps import Leaver, Mute, Sleeper, Stitcher, get_stuck

from zmqruntime.execution import ExecutionClient, ExecutionServerLauncher
from zmqruntime.messages import Event, ExecutionStatus
from zmqruntime.testing import ClientFactory, LeftRunning, ServerFactory
from zmqruntime.testing.endpoint import candidate_ports
from zmqruntime.testing.teardown import Teardown
from zmqruntime.transport import (
    AddressInUse,
    ConnectionFailed,
    NotConnected,
    ProcessIdentity,
    TransportMode,
    ZMQConfig,
)

_FREE_PORTS = range(30_000, 31_000, 7)


def worker_of(client: ExecutionClient) -> ProcessIdentity:
    (worker,) = client.ping().workers
    return ProcessIdentity.of(worker.pid)


def has_ended(process: ProcessIdentity) -> bool:
    """Wait for the exit of a killed process; return False after 30 s."""
    waiter = threading.Thread(target=process.wait, daemon=True)
    waiter.start()
    waiter.join(30)
    return not waiter.is_alive()


def test_server_runs_tasks_in_a_worker_process(
    execution_server: ServerFactory, execution_client: ClientFactory
) -> None:
    events: list[Event] = []
    client = execution_client(execution_server(Stitcher), progress_callback=events.append)
    assert client.execute({"tiles": ["a", "b"]}) == {"stitched": 2, "config": None}
    assert client.ping().workers[0].pid != client.ping().process.pid


def test_several_servers_run_in_parallel(
    execution_server: ServerFactory, execution_client: ClientFactory
) -> None:
    servers = [execution_server(Stitcher), execution_server(Stitcher)]
    for server in servers:
        assert execution_client(server).ping().port == server.port


def test_arguments_are_passed_to_the_application(
    execution_server: ServerFactory, execution_client: ClientFactory
) -> None:
    client = execution_client(execution_server(Sleeper, max_queued=0), client_id="lab")
    assert client.client_id == "lab"
    with pytest.raises(Exception, match="accepts no more than 0"):
        client.submit_execution({})


def test_server_can_be_created_by_a_function(
    execution_server: ServerFactory, execution_client: ClientFactory
) -> None:
    class StitchClient(ExecutionClient):
        pass

    server = execution_server(lambda port, config: Stitcher(port, config=config))
    assert isinstance(execution_client(server, make=StitchClient), StitchClient)


@pytest.fixture
def held_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


def test_used_tcp_port_is_skipped(
    execution_server: ServerFactory, held_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def candidates() -> Iterator[int]:
        yield from (held_port, held_port - 1000, *_FREE_PORTS)  # whose control port is in use

    monkeypatch.setattr("zmqruntime.testing.servers.candidate_ports", candidates)
    server = execution_server(Stitcher, transport_mode=TransportMode.TCP)
    assert server.running
    assert server.port in _FREE_PORTS


def test_requested_port_is_not_replaced(execution_server: ServerFactory, held_port: int) -> None:
    with pytest.raises(AddressInUse, match=str(held_port)):
        execution_server(Stitcher, port=held_port, transport_mode=TransportMode.TCP)


def test_error_names_the_last_port_if_all_are_in_use(
    execution_server: ServerFactory, held_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqruntime.testing.servers.candidate_ports", lambda: iter([held_port]))
    with pytest.raises(AddressInUse, match=str(held_port)):
        execution_server(Stitcher, transport_mode=TransportMode.TCP)


def test_close_stops_servers_workers_and_threads(zmq_config: ZMQConfig) -> None:
    before = set(threading.enumerate())
    with ServerFactory(zmq_config) as servers, ClientFactory(zmq_config) as clients:
        server = servers(Stitcher)
        client = clients(server, progress_callback=print)
        worker = worker_of(client)
    assert not server.running
    assert not worker.is_running()
    assert not client.connected
    assert set(threading.enumerate()) == before
    assert zmq_config.runtime_dir is not None
    assert not [p for p in zmq_config.runtime_dir.iterdir() if p.suffix != ".lock"]


def test_deaf_task_is_killed_within_the_time_budget(zmq_config: ZMQConfig) -> None:
    servers = ServerFactory(zmq_config)
    with ClientFactory(zmq_config) as clients:
        client = clients(servers(Sleeper, cancel_grace_seconds=1000), progress_callback=print)
        handle = client.submit_execution({"deaf": True})
        next(e for e in handle.progress() if e.type == "progress")
        worker = worker_of(client)
    started = time.monotonic()
    servers.close()
    assert time.monotonic() - started < 30  # The grace period is 1000 s.
    assert has_ended(worker)


def test_server_stopped_by_the_test_is_accepted(zmq_config: ZMQConfig) -> None:
    with ServerFactory(zmq_config) as servers:
        servers(Stitcher).stop()


def test_orphan_of_a_task_is_killed_with_its_worker(
    zmq_config: ZMQConfig,
) -> None:
    servers = ServerFactory(zmq_config)
    with ClientFactory(zmq_config) as clients:
        pid = clients(servers(Leaver)).execute({})
    assert isinstance(pid, int)
    left = psutil.Process(pid)
    servers.close()
    psutil.wait_procs([left], timeout=10)
    assert not left.is_running()


def test_process_of_the_test_is_not_killed(zmq_config: ZMQConfig) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE) as own,
        ServerFactory(zmq_config) as outer,
        ClientFactory(zmq_config) as clients,
    ):
        client = clients(outer(Stitcher))
        with ServerFactory(zmq_config) as inner:
            clients(inner(Stitcher))
        assert client.execute({"tiles": []}) == {"stitched": 0, "config": None}
        assert own.poll() is None
        own.communicate(b"\n", timeout=30)


def test_stuck_server_is_reported_with_its_stack(zmq_config: ZMQConfig) -> None:
    servers = ServerFactory(zmq_config, teardown=Teardown(0.3))
    Mute.released.set()
    server = servers(Mute)
    with ClientFactory(zmq_config) as clients:
        worker = worker_of(clients(server))
    get_stuck(server)
    try:
        with pytest.raises(LeftRunning, match=r"(?s)Mute on .* did not stop; .*in describe"):
            servers.close()
        assert has_ended(worker)
    finally:
        Mute.released.set()
        server.stop()


def test_stuck_server_does_not_affect_other_servers(zmq_config: ZMQConfig) -> None:
    servers = ServerFactory(zmq_config, teardown=Teardown(0.3))
    stuck = servers(Mute)
    own = Stitcher(next(candidate_ports()), config=zmq_config)
    with own, ClientFactory(zmq_config) as clients:
        client = clients(own)
        worker = worker_of(client)
        get_stuck(stuck)
        try:
            with pytest.raises(LeftRunning, match="Mute"):
                servers.close()
            assert worker.is_running()
            assert client.execute({"tiles": []}) == {"stitched": 0, "config": None}
            assert worker_of(client) == worker
        finally:
            Mute.released.set()
            stuck.stop()


def test_launched_server_stops_with_the_test(zmq_config: ZMQConfig) -> None:
    launcher = ExecutionServerLauncher(Stitcher)
    with ClientFactory(zmq_config) as clients:
        client = clients(launcher=launcher, persistent=True)
        process = client.ping().process
        assert client.execute({"tiles": ["a"]}) == {"stitched": 1, "config": None}
        server = ProcessIdentity(process.pid, process.create_time)
        assert server.is_running()
    assert not server.is_running()


def test_launched_server_that_does_not_reply_is_killed(zmq_config: ZMQConfig) -> None:
    with ClientFactory(zmq_config) as clients:
        client = clients(launcher=ExecutionServerLauncher(Stitcher))
        process = psutil.Process(client.ping().process.pid)
        client.disconnect()
        process.suspend()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_client_without_a_server_fails_to_connect(execution_client: ClientFactory) -> None:
    with pytest.raises(ConnectionFailed, match="no server listens"):
        execution_client()


def test_client_disconnected_by_the_test_is_accepted(
    execution_server: ServerFactory, execution_client: ClientFactory
) -> None:
    client = execution_client(execution_server(Stitcher))
    client.disconnect()
    with pytest.raises(NotConnected):
        client.ping()


def test_client_that_does_not_disconnect_is_reported(
    zmq_config: ZMQConfig,
) -> None:
    release = threading.Event()

    class Clinging(ExecutionClient):
        def disconnect(self) -> None:
            release.wait()
            super().disconnect()

    with ServerFactory(zmq_config) as servers:
        clients = ClientFactory(zmq_config)
        clients(servers(Stitcher), make=Clinging)
        with pytest.raises(LeftRunning, match="did not disconnect"):
            clients.close()
        release.set()


def test_error_of_a_disconnect_is_raised(zmq_config: ZMQConfig) -> None:
    class Failing(ExecutionClient):
        def disconnect(self) -> None:
            super().disconnect()
            raise OSError("no")

    with ServerFactory(zmq_config) as servers:
        clients = ClientFactory(zmq_config)
        clients(servers(Stitcher), make=Failing)
        with pytest.raises(OSError, match="no"):
            clients.close()


def test_events_and_handles_work_with_fixtures(
    execution_server: ServerFactory, execution_client: ClientFactory
) -> None:
    client = execution_client(execution_server(Sleeper), progress_callback=lambda event: None)
    handle = client.submit_execution({})
    next(e for e in handle.progress() if e.type == "progress")
    handle.cancel()
    assert handle.wait(timeout=30).status is ExecutionStatus.CANCELLED
