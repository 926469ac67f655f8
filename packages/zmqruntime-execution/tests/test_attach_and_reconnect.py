"""Attaching to executions, and waits across restarts and unresponsive servers."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from talking import Kept, OnDisk, blocked

from zmqruntime.execution import (
    ExecutionClient,
    ExecutionFailed,
    ExecutionHandle,
    InMemoryLifecycleEngine,
    LifecycleEngine,
    UnknownExecution,
    WaitPolicy,
)
from zmqruntime.messages import ExecutionStatus, ProgressEvent, StateEvent
from zmqruntime.transport import RequestTimeout, ServerLost, ZMQConfig
from zmqruntime.transport.lowlevel import Deadline

PATIENCE = 60.0
PORT = 21_400


@pytest.fixture
def config() -> Iterator[ZMQConfig]:
    with tempfile.TemporaryDirectory(prefix="zb-", dir="/tmp" if os.name != "nt" else None) as path:
        Path(path).chmod(0o700)
        yield ZMQConfig(default_port=PORT, runtime_dir=Path(path, "run"), log_dir=Path(path, "log"))


Start = Callable[..., Kept]


@pytest.fixture
def start(config: ZMQConfig) -> Iterator[Start]:
    servers: list[Kept] = []

    def begin(engine: LifecycleEngine | None = None, **options: Any) -> Kept:
        server = Kept(engine or InMemoryLifecycleEngine(), PORT, config=config, **options)
        server.start()
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.stop()


@pytest.fixture
def connect(config: ZMQConfig) -> Iterator[Callable[..., ExecutionClient]]:
    clients: list[ExecutionClient] = []

    def make(**options: Any) -> ExecutionClient:
        client = ExecutionClient(config=config, **options)
        client.connect(PATIENCE)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.disconnect()


Connect = Callable[..., ExecutionClient]


class ObservedClient(ExecutionClient):
    """Sets an event when it begins to wait for its server."""

    def __init__(self, config: ZMQConfig, **options: Any) -> None:
        super().__init__(config=config, **options)
        self.has_begun_to_wait = threading.Event()

    def request_within(self, seconds: float) -> None:
        """Set the timeout of later requests; short ones only while the server is blocked."""
        self._config = replace(self._config, request_timeout=seconds)

    def outlast(self, error: ServerLost | RequestTimeout, deadline: Deadline | None = None) -> None:
        self.has_begun_to_wait.set()
        super().outlast(error, deadline)


def await_gate(handle: ExecutionHandle) -> None:
    """Wait until the task waits at its gate."""
    deadline = time.monotonic() + PATIENCE
    while (progress := handle.status().progress) is None or progress.phase != "waits":
        assert time.monotonic() < deadline, handle.status()
        time.sleep(0.005)


def await_condition(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# -- attach ------------------------------------------------------------------------------------


def test_attached_client_follows_from_the_latest_progress_to_the_end(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    start()
    gate = tmp_path / "gate"
    submitted = connect(client_id="desk").submit_execution({"gate": str(gate), "result": 7})
    await_gate(submitted)
    attached = connect(client_id="another").attach(submitted.execution_id)
    events = attached.progress()
    state, first = next(events), next(events)
    assert isinstance(state, StateEvent)
    assert (state.status, state.sequence) == (ExecutionStatus.RUNNING, 2)
    assert isinstance(first, ProgressEvent)
    assert first.phase == "waits"
    gate.touch()
    *_, last = events
    assert isinstance(last, StateEvent)
    assert last.status is ExecutionStatus.COMPLETE
    assert attached.result(PATIENCE) == 7


def test_attached_client_receives_every_later_event(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    start()
    gate = tmp_path / "gate"
    desk = connect(client_id="desk")
    desk.submit_execution({"gate": str(gate)})
    handle = desk.submit_execution({"report": 50})
    events = connect().attach(handle.execution_id).progress()
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.extend(e.sequence for e in events))
    reader.start()
    deadline = time.monotonic() + PATIENCE
    while "desk" not in desk.ping().progress_subscribers:
        assert time.monotonic() < deadline
    gate.touch()
    reader.join(PATIENCE)
    assert seen == list(range(1, 54))


def test_ended_execution_can_be_attached_while_it_is_kept(start: Start, connect: Connect) -> None:
    start()
    connect(client_id="desk").submit_execution({"result": [1]}, execution_id="x").wait(PATIENCE)
    attached = connect().attach("x")
    assert attached.result(PATIENCE) == [1]
    assert [e.type for e in attached.progress()] == ["state"]


def test_attach_to_an_unknown_execution_raises(start: Start, connect: Connect) -> None:
    start()
    with pytest.raises(UnknownExecution, match="no execution nothing is kept here"):
        connect().attach("nothing")


def count_open_files() -> int:
    process = psutil.Process()
    if sys.platform == "win32":
        return process.num_handles()
    return process.num_fds()


def test_subscriber_to_another_client_ends_with_its_last_stream(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    start()
    gate = tmp_path / "gate"
    client, desk = connect(), connect(client_id="desk")
    handle = desk.submit_execution({"gate": str(gate)})
    await_gate(handle)
    first, second = (client.attach(handle.execution_id).progress() for _ in range(2))
    next(first)
    (subscriber,) = client._progress_subscribers._by_client.values()
    del first
    next(second)
    assert list(client._progress_subscribers._by_client.values()) == [subscriber]
    gate.touch()
    list(second)
    await_condition(lambda: not client._progress_subscribers._by_client)
    await_condition(lambda: not desk.ping().progress_subscribers)


def test_following_many_clients_in_turn_leaks_no_threads_and_files(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    start()
    client = connect()
    gate = str(tmp_path / "never")
    names = [connect(client_id=f"c{n}").submit_execution({"gate": gate}) for n in range(9)]

    def follow(handle: ExecutionHandle) -> None:
        next(client.attach(handle.execution_id).progress())
        await_condition(lambda: not client._progress_subscribers._by_client)

    follow(names[0])
    await_condition(lambda: not client.ping().progress_subscribers)
    threads, files = threading.active_count(), count_open_files()
    for handle in names:
        follow(handle)
    await_condition(lambda: threading.active_count() <= threads)
    await_condition(lambda: count_open_files() <= files)


# -- restarts ------------------------------------------------------------------------------------


def start_waits(handle: ExecutionHandle, pool: ThreadPoolExecutor) -> list[Any]:
    """Start three threads that wait for the end in different ways."""
    events = handle.progress()
    next(events)
    return [
        pool.submit(handle.result, PATIENCE),
        pool.submit(handle.result),
        pool.submit(lambda: list(events)[-1]),
    ]


def test_waits_survive_the_restart_of_a_durable_server(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    engine = OnDisk()
    first = start(engine)
    handle = connect().submit_execution({"gate": str(tmp_path / "never")})
    await_gate(handle)
    with ThreadPoolExecutor() as pool:
        result, endless, last = start_waits(handle, pool)
        first.stop()
        start(engine)
        for waiter in (result, endless):
            error = waiter.exception(PATIENCE)
            assert isinstance(error, ExecutionFailed)
            assert "the server was shut down while it ran" in str(error)
        assert last.result(PATIENCE).status is ExecutionStatus.FAILED


def test_waits_raise_unknown_execution_after_a_restart_without_the_record(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    first = start(InMemoryLifecycleEngine(history_limit=0))
    handle = connect().submit_execution({"gate": str(tmp_path / "never")})
    await_gate(handle)
    first.stop()  # It replies to pending waits; so they start when it is gone.
    with ThreadPoolExecutor() as pool:
        waiters = [pool.submit(wait) for wait in (handle.result, lambda: list(handle.progress()))]
        start()
        for waiter in waiters:
            assert isinstance(waiter.exception(PATIENCE), UnknownExecution)


def test_reconnected_client_uses_the_next_server(start: Start, connect: Connect) -> None:
    first = start(OnDisk())
    events: list[Any] = []
    client = connect(progress_callback=events.append)
    client.execute({"report": 1}, timeout=PATIENCE)
    first.stop()
    start(OnDisk())
    client.reconnect(PATIENCE)
    assert client.execute({"result": "again"}, timeout=PATIENCE) == "again"
    handle = client.submit_execution({"report": 3})
    assert [e.sequence for e in handle.progress()] == [1, 2, 3, 4, 5, 6]


def test_wait_raises_server_lost_at_its_deadline(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    first = start(OnDisk(history_limit=0))
    handle = connect().submit_execution({"gate": str(tmp_path / "never")})
    await_gate(handle)
    first.stop()
    began = time.monotonic()
    with pytest.raises(ServerLost, match="was lost and is not back in time"):
        handle.result(timeout=1.5)
    assert time.monotonic() - began >= 1.4


def test_wait_without_a_deadline_raises_server_lost_after_reconnect_timeout(
    start: Start, config: ZMQConfig, tmp_path: Path
) -> None:
    first = start(OnDisk(history_limit=0))
    with ObservedClient(replace(config, reconnect_timeout=0.5)) as client:
        handle = client.submit_execution({"gate": str(tmp_path / "never")})
        await_gate(handle)
        first.stop()
        client.request_within(0.3)
        with pytest.raises(ServerLost):
            handle.wait(policy=WaitPolicy(poll_interval=0.5))


def test_subscriber_with_a_backlog_survives_a_restart(
    start: Start, config: ZMQConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = OnDisk()
    first = start(engine)
    brief = replace(config, data_high_water_mark=100)
    unblock = threading.Event()

    def callback(_: ProgressEvent | StateEvent) -> None:
        unblock.wait(PATIENCE)

    with ObservedClient(brief, progress_callback=callback) as client:
        assert client.submit_execution({"report": 300}).wait(PATIENCE).status.is_terminal
        await_gate(client.submit_execution({"gate": str(tmp_path / "never")}))
        client.submit_execution({})  # Still queued when the server stops.
        first.stop()
        client.request_within(0.3)
        unblock.set()
        await_condition(lambda: "replay of missed events failed" in caplog.text)
        client.request_within(PATIENCE)
        start(engine)
        client.reconnect(PATIENCE)
        handle = client.submit_execution({"report": 3})
        assert [e.sequence for e in handle.progress()] == [1, 2, 3, 4, 5, 6]


# -- unresponsive servers ------------------------------------------------------------------------


def test_progress_survives_a_blocked_server(
    start: Start, config: ZMQConfig, tmp_path: Path
) -> None:
    server, gate = start(), tmp_path / "gate"
    with ObservedClient(config) as client, ThreadPoolExecutor() as pool:
        handle = client.submit_execution({"gate": str(gate)})
        await_gate(handle)
        with blocked(server):
            client.request_within(0.3)
            last = pool.submit(lambda: list(handle.progress())[-1])
            assert client.has_begun_to_wait.wait(PATIENCE)
        gate.touch()
        event = last.result(PATIENCE)
        assert isinstance(event, StateEvent)
        assert event.status is ExecutionStatus.COMPLETE


def test_execute_survives_a_blocked_server(
    start: Start, config: ZMQConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    monkeypatch.setattr("zmqruntime.execution.client.client.HOLD_SECONDS", 0.2)
    with ObservedClient(config) as client, ThreadPoolExecutor() as pool:
        with blocked(server):
            client.request_within(0.3)
            result = pool.submit(client.execute, {"result": 7}, timeout=PATIENCE)
            assert client.has_begun_to_wait.wait(PATIENCE)
        assert result.result(PATIENCE) == 7


def test_progress_of_a_blocked_server_raises_after_reconnect_timeout(
    start: Start, config: ZMQConfig
) -> None:
    server = start()
    with ObservedClient(replace(config, reconnect_timeout=0.5)) as client:
        handle = client.submit_execution({})
        client.request_within(0.3)
        with blocked(server), pytest.raises(ServerLost, match="in time"):
            list(handle.progress())


def test_execute_on_a_blocked_server_raises_at_its_deadline(
    start: Start, config: ZMQConfig
) -> None:
    server = start()
    with ObservedClient(config) as client, blocked(server):
        client.request_within(0.3)
        with pytest.raises((ServerLost, RequestTimeout)):
            client.execute({}, timeout=0.2)
        with pytest.raises(RequestTimeout):
            client.outlast(RequestTimeout("no reply"), Deadline.after(0))
