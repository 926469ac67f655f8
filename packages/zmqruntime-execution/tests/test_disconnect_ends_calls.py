"""After `disconnect` in another thread, every call of an execution client raises NotConnected.

Backoffs and holds are so long that a call which waits for one fails its test.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from talking import Kept, blocked

from zmqruntime.execution import (
    BatchSubmitWaitEngine,
    ExecutionClient,
    ExecutionHandle,
    InMemoryLifecycleEngine,
    WaitPolicy,
)
from zmqruntime.execution.client.stream import EventStream
from zmqruntime.execution.client.subscriber_registry import SubscriberRegistry
from zmqruntime.transport import NotConnected, ZMQConfig
from zmqruntime.transport.client.channel import Channel
from zmqruntime.transport.client.close_signal import CloseSignal
from zmqruntime.transport.client.outcome import Outcome
from zmqruntime.transport.deadline import Deadline

PATIENCE = 60.0
HOUR = 3600.0


@pytest.fixture(scope="module")
def server() -> Iterator[Kept]:
    directory = "/tmp" if os.name != "nt" else None
    with tempfile.TemporaryDirectory(prefix="zd-", dir=directory) as path:
        Path(path).chmod(0o700)
        config = ZMQConfig(
            default_port=21_400, runtime_dir=Path(path, "run"), log_dir=Path(path, "log")
        )
        with Kept(InMemoryLifecycleEngine(), 21_400, config=config) as server:
            yield server


class Client(ExecutionClient):
    """A client whose timeouts a test can change."""

    def request_within(self, seconds: float) -> None:
        """Have later requests time out after so long."""
        self._config = replace(self._config, request_timeout=seconds, reconnect_timeout=HOUR)


@pytest.fixture
def client(server: Kept) -> Iterator[Client]:
    """A connected client, whose requests may take an hour."""
    with Client(config=server.config) as client:
        client.request_within(HOUR)
        yield client


@pytest.fixture
def handle(server: Kept, tmp_path: Path) -> Iterator[ExecutionHandle]:
    """An execution that runs until the end of the test; the handle of another client."""
    gate = tmp_path / "gate"
    with ExecutionClient(config=server.config) as other:
        yield other.submit_execution({"gate": str(gate)})
        gate.touch()


class Waits:
    """Counts the waits that begin in a client: for replies, for events and for a retry."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()

    def note(self, kind: str) -> None:
        with self._changed:
            self._counts[kind] += 1
            self._changed.notify_all()

    def await_count(self, kind: str, count: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._counts[kind] >= count, PATIENCE)

    def clear(self) -> None:
        with self._changed:
            self._counts.clear()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    waits = Waits()
    receive_many, take, pause = Channel.receive_many, EventStream.take, CloseSignal.pause

    def receive(channel: Channel, deadline: Deadline, limit: int) -> list[bytes] | Outcome:
        waits.note("reply")
        return receive_many(channel, deadline, limit)

    def take_events(stream: EventStream, timeout: float) -> object:
        waits.note("event")
        return take(stream, timeout)

    def retry(signal: CloseSignal, seconds: float) -> None:
        waits.note("retry")
        assert seconds > PATIENCE
        pause(signal, seconds)

    monkeypatch.setattr(Channel, "receive_many", receive)
    monkeypatch.setattr(EventStream, "take", take_events)
    monkeypatch.setattr(CloseSignal, "pause", retry)
    monkeypatch.setattr(WaitPolicy, "backoff", lambda policy, errors: HOUR)
    return waits


Run = Callable[..., "Future[object]"]


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a call in another thread."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


def end_by_disconnect(client: ExecutionClient, *calls: Future[object]) -> None:
    """Disconnect, and check that the calls end for that reason."""
    assert not any(call.done() for call in calls)
    client.disconnect()
    errors = [call.exception(PATIENCE) for call in calls]
    assert [type(error) for error in errors] == [NotConnected] * len(calls)


def attach(client: ExecutionClient, handle: ExecutionHandle) -> ExecutionHandle:
    return client.attach(handle.execution_id)


def run_batch(client: ExecutionClient, handle: ExecutionHandle) -> object:
    return BatchSubmitWaitEngine(client).run([{}, {}])


CALLS: dict[str, Callable[[ExecutionClient, ExecutionHandle], object]] = {
    "wait": lambda client, handle: attach(client, handle).wait(),
    "result": lambda client, handle: attach(client, handle).result(HOUR),
    "execute": lambda client, handle: client.execute({}),
    "follow_many": lambda client, handle: list(client.follow_many([{}, {}], hold=60.0)),
    "batch": run_batch,
    "wait_for_completion": lambda client, handle: client.wait_for_completion(handle.execution_id),
    "poll_status": lambda client, handle: client.poll_status(
        handle.execution_id, wait_seconds=60.0
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_call_that_waits_for_a_reply_ends(
    client: Client, handle: ExecutionHandle, waits: Waits, run: Run, name: str
) -> None:
    call = run(CALLS[name], client, handle)
    waits.await_count("reply")
    end_by_disconnect(client, call)


def test_progress_that_waits_for_an_event_ends(
    client: Client, handle: ExecutionHandle, waits: Waits, run: Run
) -> None:
    events = attach(client, handle).progress()
    call = run(list, events)
    waits.await_count("event")
    end_by_disconnect(client, call)


HASTY = WaitPolicy(poll_interval=0.05)


def test_wait_between_two_attempts_ends(
    server: Kept, client: Client, handle: ExecutionHandle, waits: Waits, run: Run
) -> None:
    own = client.submit_execution({"gate": "never"})
    client.request_within(0.05)
    with blocked(server):
        calls = [
            run(own.wait, policy=HASTY),
            run(client.wait_for_completion, handle.execution_id, HASTY),
        ]
        waits.await_count("retry", 2)
        end_by_disconnect(client, *calls)
    handle._client.cancel_execution(own.execution_id)


def test_registration_that_waits_for_its_reply_ends_and_so_does_progress(
    server: Kept, client: Client, handle: ExecutionHandle, waits: Waits, run: Run
) -> None:
    own = client.submit_execution({})
    reader = run(list, own.progress())
    waits.await_count("event")
    other = attach(client, handle)
    with blocked(server):
        waits.clear()
        registration = run(other.progress)
        waits.await_count("reply")
        end_by_disconnect(client, registration, reader)


def test_connect_that_registers_a_callback_ends(
    server: Kept, waits: Waits, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, registers = SubscriberRegistry.start, threading.Event()
    client = ExecutionClient(config=server.config, progress_callback=lambda event: None)
    with contextlib.ExitStack() as ends:

        def start_in_silence(subscriptions: SubscriberRegistry) -> None:
            ends.enter_context(blocked(server))
            waits.clear()
            registers.set()
            start(subscriptions)

        monkeypatch.setattr(SubscriberRegistry, "start", start_in_silence)
        call = run(client.connect)
        assert registers.wait(PATIENCE)
        waits.await_count("reply")
        end_by_disconnect(client, call)
