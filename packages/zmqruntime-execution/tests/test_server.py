"""Server, worker and client together.

Tests across packages, with faults and peers in other languages, are in ``tests-integration``.
"""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from echoing import Broken, BrokenLater, Echo, Locked

from zmqruntime.execution import (
    BatchSubmitWaitEngine,
    Conflict,
    ExecutionCancelled,
    ExecutionClient,
    ExecutionFailed,
    ExecutionHandle,
    ExecutionStatusPoller,
    InMemoryLifecycleEngine,
    JournalInUse,
    LifecycleEngine,
    QueueFull,
    ResultDropped,
    RunnerHost,
    ShuttingDown,
    TaskReturned,
    TaskRunner,
    TaskStopped,
    UnknownExecution,
    UnpicklableServer,
    WaitTimeout,
    WorkerExited,
    WorkerFailed,
    WorkerReady,
)
from zmqruntime.messages import (
    ErrorKind,
    ExecuteRequest,
    ExecutionStatus,
    ProgressEvent,
    Reply,
    ShutdownMode,
    StateEvent,
    WorkerInfo,
    decode_request,
)
from zmqruntime.messages.lowlevel import encode_json
from zmqruntime.transport import AddressInUse, ConnectionFailed, NotConnected, ZMQConfig

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

PATIENCE = 60.0


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zx-", dir=short_base()) as path:
        Path(path).chmod(0o700)
        yield Path(path)


def short_base() -> str | None:
    """Return a directory for short socket paths, if the default one is too long."""
    return "/tmp" if len(tempfile.gettempdir()) > 50 and Path("/tmp").is_dir() else None


@pytest.fixture(scope="module")
def ports() -> Iterator[int]:
    """Return ports that are free in the directory: over ipc, all are."""
    return iter(range(21_000, 22_000))


@pytest.fixture(scope="module")
def config(directory: Path) -> ZMQConfig:
    return ZMQConfig(runtime_dir=directory / "run", log_dir=directory / "log")


@pytest.fixture(scope="module")
def echo(config: ZMQConfig, ports: Iterator[int]) -> Iterator[Echo]:
    with Echo(next(ports), config=config) as server:
        yield server


@pytest.fixture
def client(echo: Echo) -> Iterator[ExecutionClient]:
    with ExecutionClient(echo.port, config=echo.config) as client:
        yield client


def asleep(handle: ExecutionHandle) -> ExecutionHandle:
    """Return the handle when its task sleeps."""
    for event in handle.progress():
        if isinstance(event, ProgressEvent) and event.phase == "asleep":
            return handle
    raise AssertionError(handle.status())


def test_submit_returns_a_handle_with_result_and_record(client: ExecutionClient) -> None:
    handle = client.submit_execution({"x": [1]}, {"y": None}, labels={"run": "7"})
    assert handle.result(PATIENCE) == {
        "task": {"x": [1]},
        "config": {"y": None},
        "labels": {"run": "7"},
    }
    record = handle.status()
    assert (record.status, record.client_id, record.attempt) == (COMPLETE, client.client_id, 1)
    assert record.finished_at is not None
    assert record.started_at is not None
    assert record.submitted_at <= record.started_at <= record.finished_at


def test_workers_are_listed_while_the_server_runs(echo: Echo, client: ExecutionClient) -> None:
    workers = echo.list_workers()
    assert len(workers) == 1
    assert workers == client.ping().workers
    assert Echo(echo.port, config=echo.config).list_workers() == ()


def test_submitting_and_waiting_in_one(client: ExecutionClient) -> None:
    result = client.execute({"n": 1}, timeout=PATIENCE)
    assert result == {"task": {"n": 1}, "config": None, "labels": {}}


def test_exception_fails_its_execution_only(client: ExecutionClient) -> None:
    with pytest.raises(ExecutionFailed, match="ValueError: no tiles") as caught:
        client.execute({"raise": "no tiles"}, timeout=PATIENCE)
    error = caught.value.record.error
    assert error is not None
    assert (error.type, error.message) == ("ValueError", "no tiles")
    assert "execute_task" in (error.traceback or "")
    assert client.execute({}, timeout=PATIENCE)


def test_worker_exit_fails_its_execution_only(client: ExecutionClient) -> None:
    before = client.ping().workers[0].pid
    with pytest.raises(ExecutionFailed, match="exit code 7") as caught:
        client.execute({"exit": 7}, timeout=PATIENCE)
    error = caught.value.record.error
    assert error is not None
    assert (error.kind, error.exit_code) == (ErrorKind.WORKER_DIED, 7)
    assert client.execute({}, timeout=PATIENCE)
    assert client.ping().workers[0].pid != before


def test_cancel_ends_one_execution_and_the_queue_continues(client: ExecutionClient) -> None:
    sleeper = client.submit_execution({"sleep": True})
    behind = client.submit_execution({"behind": True})
    cancelled = client.submit_execution({"never": True})
    asleep(sleeper)
    assert cancelled.cancel() is CANCELLED
    assert sleeper.cancel() is RUNNING
    with pytest.raises(ExecutionCancelled):
        sleeper.result(PATIENCE)
    assert behind.wait(PATIENCE).status is COMPLETE
    assert cancelled.status().started_at is None
    with pytest.raises(Conflict, match="has ended already"):
        behind.cancel()


def test_task_beyond_its_time_limit_fails(client: ExecutionClient) -> None:
    with pytest.raises(ExecutionFailed, match=r"timeout: the task ran longer than 0\.2 s"):
        client.execute({"sleep": True}, timeout_seconds=0.2, timeout=PATIENCE)


def test_wait_ends_at_its_timeout(client: ExecutionClient) -> None:
    handle = asleep(client.submit_execution({"sleep": True}))
    with pytest.raises(WaitTimeout, match="is still running after 0 s"):
        handle.result(timeout=0)
    with pytest.raises(WaitTimeout):
        client.execute({}, timeout=0.05)
    handle.cancel()
    assert handle.wait(PATIENCE).status is CANCELLED


def test_snapshot_lists_running_and_queued_executions(client: ExecutionClient) -> None:
    sleeper = asleep(client.submit_execution({"sleep": True}))
    waiting = [client.submit_execution({"n": n}) for n in range(3)]
    snapshot = client.poll_status(limit=2)
    assert [i.execution_id for i in snapshot.running_executions] == [sleeper.execution_id]
    queued = [i.execution_id for i in snapshot.queued_executions]
    rest = client.poll_status(cursor=snapshot.cursor).queued_executions
    assert [*queued, *(i.execution_id for i in rest)] == [h.execution_id for h in waiting]
    pong = client.ping()
    assert (pong.running_count, pong.queued_count) == (1, 3)
    assert pong.workers[0].execution_id == sleeper.execution_id
    sleeper.cancel()
    assert [h.wait(PATIENCE).status for h in waiting] == [COMPLETE] * 3


def test_second_submit_with_the_same_id_is_a_duplicate(client: ExecutionClient) -> None:
    name = "once-and-for-all"
    one = client.submit_execution({"x": 1}, execution_id=name)
    other = client.submit_execution({"x": 1}, execution_id=name)
    assert one.result(PATIENCE) == other.result(PATIENCE)
    with pytest.raises(Conflict, match="already belongs to another task"):
        client.submit_execution({"x": 2}, execution_id=name)


def test_unknown_id_is_an_error(client: ExecutionClient) -> None:
    with pytest.raises(UnknownExecution, match="no execution unknown is kept here"):
        client.get_record("unknown")
    with pytest.raises(UnknownExecution):
        client.cancel_execution("unknown")
    with pytest.raises(UnknownExecution):
        client.wait_for_completion("unknown")


def test_events_reach_callback_and_stream(echo: Echo) -> None:
    events: list[ProgressEvent | StateEvent] = []
    ended = threading.Event()

    def callback(event: ProgressEvent | StateEvent) -> None:
        events.append(event)
        if isinstance(event, StateEvent) and event.status.is_terminal:
            ended.set()

    with ExecutionClient(echo.port, config=echo.config, progress_callback=callback) as client:
        assert client.client_id in client.ping().progress_subscribers
        handle = client.submit_execution({"raise": "x"})
        streamed = list(handle.progress())
        assert ended.wait(PATIENCE)
    assert events == streamed
    assert [e.status for e in streamed if isinstance(e, StateEvent)] == [QUEUED, RUNNING, FAILED]
    assert [e.sequence for e in streamed] == [1, 2, 3]


@pytest.mark.parametrize("has_callback", [False, True])
def test_disconnect_ends_event_streams_immediately(
    echo: Echo, monkeypatch: pytest.MonkeyPatch, has_callback: bool
) -> None:
    monkeypatch.setattr("zmqruntime.execution.client.handle._CHECK_SECONDS", 3600)
    callback = (lambda _: None) if has_callback else None
    client = ExecutionClient(echo.port, config=echo.config, progress_callback=callback)
    client.connect()
    handle = client.submit_execution({"sleep": True})
    received: list[object] = []

    def read(events: Iterator[object]) -> None:
        try:
            for event in events:
                received.append(event)
        except NotConnected as error:
            received.append(error)

    events, others = handle.progress(), handle.progress()
    next(events)
    waiting = threading.Thread(target=read, args=(others,), daemon=True)
    waiting.start()
    client.disconnect()
    later = threading.Thread(target=read, args=(events,), daemon=True)
    later.start()
    for reader in (waiting, later):
        reader.join(PATIENCE)
        assert not reader.is_alive()
    assert len([error for error in received if isinstance(error, NotConnected)]) == 2
    with ExecutionClient(echo.port, config=echo.config) as another:
        another.cancel_execution(handle.execution_id)


def test_child_process_of_a_task_reports_progress(client: ExecutionClient) -> None:
    handle = client.submit_execution({"delegate": True})
    reports = [e for e in handle.progress() if isinstance(e, ProgressEvent)]
    assert [(e.completed, e.total, e.phase) for e in reports] == [(1, 2, "delegated")]


def test_client_serializes_objects_of_the_application(echo: Echo) -> None:
    @dataclasses.dataclass
    class Job:
        tiles: list[str]

    class JobClient(ExecutionClient):
        def serialize_task(self, task: Any, config: Any = None) -> Any:
            return super().serialize_task(dataclasses.asdict(task), config)

    with JobClient(echo.port, config=echo.config) as client:
        result = client.execute(Job(["a"]), timeout=PATIENCE)
        assert isinstance(result, dict)
        assert result["task"] == {"tiles": ["a"]}


def test_fields_of_one_mapping_reach_the_record_by_every_way_to_submit(echo: Echo) -> None:
    class JobClient(ExecutionClient):
        def serialize_task(self, task: Any, config: Any = None) -> Any:
            return {"task": {"n": task}, "labels": {"n": str(task)}}

    with JobClient(echo.port, config=echo.config) as client:
        handles = [client.submit_execution(1), *client.submit_many([2])]
        handles += [handle for handle, _ in client.follow_many([3])]
        records = [handle.wait(PATIENCE) for handle in handles]
        result = client.execute(4, timeout=PATIENCE)
    assert [(r.labels, r.result["task"]) for r in records] == [  # type: ignore[index, call-overload]
        ({"n": str(n)}, {"n": n}) for n in (1, 2, 3)
    ]
    assert isinstance(result, dict)
    assert result["task"] == {"n": 4}


def test_batch_returns_many_results_in_order(client: ExecutionClient) -> None:
    result = BatchSubmitWaitEngine(client, max_outstanding=20).run({"n": n} for n in range(100))
    assert [r["task"] for r in result.results()] == [  # type: ignore[index, call-overload]
        {"n": n} for n in range(100)
    ]


def test_loop_over_handles_reads_many_results_with_each_request(
    client: ExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = [client.submit_execution({"n": n}) for n in range(300)]
    handles[-1].wait(PATIENCE)  # Executions run in order.
    requests: list[object] = []
    request = client.request

    def count(*arguments: Any, **options: Any) -> Reply:
        requests.append(arguments)
        return request(*arguments, **options)

    monkeypatch.setattr(client, "request", count)
    assert [handle.result()["task"] for handle in handles] == [  # type: ignore[index, call-overload]
        {"n": n} for n in range(300)
    ]
    assert len(requests) <= 15


def test_status_poller_follows_an_execution_to_its_end(client: ExecutionClient) -> None:
    handle = client.submit_execution({})
    *_, last = ExecutionStatusPoller(client.get_record).follow(handle.execution_id, PATIENCE)
    assert last == handle.status()
    assert last.status is COMPLETE


def test_full_queue_rejects_a_submit(config: ZMQConfig, ports: Iterator[int]) -> None:
    with (
        Echo(next(ports), config=config, max_queued=1) as server,
        ExecutionClient(server.port, config=config) as client,
    ):
        asleep(client.submit_execution({"sleep": True}))
        client.submit_execution({})
        with pytest.raises(QueueFull, match="accepts no more than 1"):
            client.submit_execution({})


def test_history_limit_bounds_read_records(config: ZMQConfig, ports: Iterator[int]) -> None:
    with (
        Echo(next(ports), config=config, history_limit=1) as server,
        ExecutionClient(server.port, config=config) as client,
    ):
        handles = []
        for _ in range(3):
            handle = client.submit_execution({})
            handle.wait(PATIENCE)
            assert client.get_record(handle.execution_id).status is COMPLETE  # A read.
            handles.append(handle)
        for handle in handles[:2]:
            with pytest.raises(UnknownExecution):
                client.get_record(handle.execution_id)
        assert client.get_record(handles[2].execution_id).status is COMPLETE


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("durable", [False, True])
def test_unread_results_beyond_the_history_limit_are_kept(
    config: ZMQConfig, ports: Iterator[int], tmp_path: Path, many: bool, durable: bool
) -> None:
    journal = tmp_path / "journal" if durable else None
    with (
        Echo(next(ports), config=config, history_limit=10, journal=journal) as server,
        ExecutionClient(server.port, config=config) as client,
    ):
        tasks = [{"echo": n} for n in range(100)]
        if many:
            handles = client.submit_many(tasks)
        else:
            handles = [client.submit_execution(task) for task in tasks]
        handles[-1].wait(PATIENCE)
        results = [handle.result(PATIENCE) for handle in handles]
        assert [result["task"] for result in results if isinstance(result, dict)] == tasks


def test_result_that_was_dropped_unread_is_a_typed_error(
    config: ZMQConfig, ports: Iterator[int]
) -> None:
    with (
        Echo(next(ports), config=config, unread_limit=1) as server,
        ExecutionClient(server.port, config=config) as client,
    ):
        first, second = client.submit_execution({}), client.submit_execution({})
        second.wait(PATIENCE)
        third = client.submit_execution({})
        client.submit_execution({}).wait(PATIENCE)
        with pytest.raises(ResultDropped, match=f"{third.execution_id} was dropped") as caught:
            third.result(PATIENCE)
        assert caught.value.record.status is COMPLETE
        assert caught.value.record.result_dropped
        assert first.status().result_dropped
        assert third.log_tail() == ""
        assert [event.status for event in third.progress() if isinstance(event, StateEvent)] == [
            COMPLETE
        ]
        # A submit with its id is a duplicate, and does not run.
        again = client.submit_execution({}, execution_id=third.execution_id)
        assert again.status().result_dropped


def test_draining_server_rejects_submits_and_finishes(
    config: ZMQConfig, ports: Iterator[int]
) -> None:
    with (
        Echo(next(ports), config=config) as server,
        ExecutionClient(server.port, config=config) as client,
    ):
        sleeper = client.submit_execution({"sleep": True})
        events = sleeper.progress()
        assert any(isinstance(event, ProgressEvent) for event in events)
        client.shutdown_server(ShutdownMode.DRAIN)
        with pytest.raises(ShuttingDown):
            client.submit_execution({})
        sleeper.cancel()
        # The server ends with it: a status request may be too late, an event is not.
        *_, last = events
        assert isinstance(last, StateEvent)
        assert last.status is CANCELLED
        server.serve_forever()  # It returns, since the server has ended.


def test_worker_that_cannot_be_set_up_ends_the_server_with_its_error(
    config: ZMQConfig, ports: Iterator[int]
) -> None:
    with pytest.raises(WorkerFailed, match=r"(?s)worker did not get ready.*no model here"):
        Broken(next(ports), config=config).serve_forever()


def test_start_raises_the_error_of_the_worker(config: ZMQConfig, ports: Iterator[int]) -> None:
    server = Broken(next(ports), config=config)
    for _ in range(2):  # A second start is allowed.
        with pytest.raises(WorkerFailed, match=r"(?s)worker did not get ready.*no model here"):
            server.start()
        assert not server.running


def test_serve_forever_calls_start_which_may_be_overridden(
    config: ZMQConfig, ports: Iterator[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[bool] = []
    start = Broken.start

    def recording_start(server: Broken) -> None:
        start(server)
        called.append(server.running)

    monkeypatch.setattr(Broken, "start", recording_start)
    with pytest.raises(WorkerFailed, match="no model here"):
        Broken(next(ports), config=config).serve_forever()
    assert called == [True], "the server waited for its worker without handling signals"


def test_client_of_a_server_whose_worker_fails_gets_its_error(
    config: ZMQConfig, ports: Iterator[int]
) -> None:
    port = next(ports)
    errors: list[BaseException] = []

    def start() -> None:
        try:
            server.start()
        except WorkerFailed as error:
            errors.append(error)

    def connect() -> None:
        try:
            client.connect(PATIENCE)
        except ConnectionFailed as error:
            errors.append(error)

    client = ExecutionClient(port, config=config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = BrokenLater(port, listening.getsockname()[1], config=config)
        threads = [threading.Thread(target=start), threading.Thread(target=connect)]
        threads[0].start()
        worker, _ = listening.accept()
        threads[1].start()
        assert server.server_session is not None
        held = server.server_session._held_pings
        while not held._pings:
            threading.Event().wait(0.01)
        worker.close()
        for thread in threads:
            thread.join(PATIENCE)
    first, second = sorted(errors, key=lambda error: type(error).__name__)
    assert isinstance(first, ConnectionFailed)
    assert re.search(r"(?s)ended before it was ready.*no model here", str(first))
    assert isinstance(second, WorkerFailed)


def test_server_class_inside_a_function_is_named_in_the_error(
    config: ZMQConfig, ports: Iterator[int]
) -> None:
    class Hidden(Echo):
        pass

    with pytest.raises(UnpicklableServer, match="Hidden is defined inside a function: move") as it:
        Hidden(next(ports), config=config).start()
    assert "__init__" not in str(it.value)


def test_unpicklable_attribute_of_a_server_is_named_in_the_error(
    config: ZMQConfig, ports: Iterator[int]
) -> None:
    server = Echo(next(ports), config=config)
    server.handle = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"Echo cannot be sent to its worker process: .*lock.*"):
        server.start()
    assert not server.running


class Inline(TaskRunner):
    """Returns each task as its result, without a process; "wait" runs until it is interrupted."""

    def open(self, host: RunnerHost) -> None:
        self.host = host
        self.calls: list[str] = []

    def start_worker(self, slot: int = 0) -> None:
        self.calls.append("start")
        self.host.loop.post(lambda: self.host.emit(WorkerReady()))

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        decoded = decode_request(request)
        assert isinstance(decoded, ExecuteRequest)
        if "wait" not in decoded.task:
            returned = TaskReturned(execution_id, encode_json(decoded.task))
            self.host.loop.post(lambda: self.host.emit(returned))

    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        self.calls.append("interrupt")
        self.host.loop.post(lambda: self.host.emit(TaskStopped(execution_id)))

    def kill_worker(self, slot: int = 0) -> None:
        self.calls.append("kill")
        self.host.loop.post(lambda: self.host.emit(WorkerExited(-9)))

    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[WorkerInfo, ...]:
        return (WorkerInfo(pid=1, execution_id=execution_id),)

    def close(self) -> None:
        self.calls.append("close")


class InlineEcho(Echo):
    def make_runner(self) -> TaskRunner:
        self.runner = Inline()
        return self.runner

    def make_engine(self) -> LifecycleEngine:
        self.engine = InMemoryLifecycleEngine(5)
        return self.engine


def test_runner_and_engine_can_be_replaced(config: ZMQConfig, ports: Iterator[int]) -> None:
    with InlineEcho(next(ports), config=config) as server:
        with ExecutionClient(server.port, config=config) as client:
            assert client.execute({"x": 1}, timeout=PATIENCE) == {"x": 1}
            waiting = client.submit_execution({"wait": True})
            assert client.ping().workers == (WorkerInfo(pid=1, execution_id=waiting.execution_id),)
            waiting.cancel()
            assert waiting.wait(PATIENCE).status is CANCELLED
        assert server.runner.calls == ["start", "interrupt"]
    assert server.runner.calls[-1] == "close"
    assert server.engine.counts[COMPLETE] == 1


def test_server_that_cannot_start_releases_its_journal(
    config: ZMQConfig, ports: Iterator[int], tmp_path: Path
) -> None:
    port = next(ports)
    journal = tmp_path / "journal"
    with Echo(port, config=config):
        with pytest.raises(AddressInUse):
            Echo(port, config=config, journal=journal).start()
        with pytest.raises(UnpicklableServer):
            Locked(next(ports), config=config, journal=journal).start()
    with Echo(port, config=config, journal=journal) as server:
        with pytest.raises(JournalInUse):
            Echo(next(ports), config=config, journal=journal).start()
        with ExecutionClient(server.port, config=config) as client:
            assert client.execute({"x": 1}, timeout=PATIENCE) is not None
    again = Echo(port, config=config, journal=journal)
    with again, ExecutionClient(port, config=config) as client:
        assert client.poll_status().counts[COMPLETE] == 1


def test_clients_take_turns_in_a_fair_queue(config: ZMQConfig, ports: Iterator[int]) -> None:
    with Echo(next(ports), config=config, queue_policy="fair") as server:
        many = ExecutionClient(server.port, config=config, client_id="many")
        one = ExecutionClient(server.port, config=config, client_id="one")
        with many, one:
            many.submit_execution({"sleep": True})
            queued = many.submit_many([{"n": n} for n in range(5)])
            single = one.submit_execution({})
            assert single.status().queue_position == 2
            assert [h.status().queue_position for h in queued[:2]] == [1, 3]
            server.stop(PATIENCE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_of_a_task_sends_no_result(client: ExecutionClient) -> None:
    for n in range(3):
        assert client.execute({"fork": n}, timeout=PATIENCE) == {
            "task": {"fork": n},
            "config": None,
            "labels": {},
        }


def test_worker_with_an_invalid_message_is_killed_and_replaced(
    client: ExecutionClient, caplog: pytest.LogCaptureFixture
) -> None:
    babbling = client.submit_execution({"babble": 1})
    behind = client.submit_execution({"n": 1})
    with pytest.raises(ExecutionFailed, match="the worker process ended with"):
        babbling.result(PATIENCE)
    assert behind.result(PATIENCE)
    assert "invalid message from the worker process: a message of 18," in caplog.text
