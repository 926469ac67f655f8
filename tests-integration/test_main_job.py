"""The main job: submit, follow, cancel and get results, whatever a task does."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from places import Connect, Place, await_phase
from waiting import PATIENCE, eventually

from zmqruntime.execution import (
    BatchSubmitWaitEngine,
    Conflict,
    ExecutionCancelled,
    ExecutionClient,
    ExecutionFailed,
    ExecutionHandle,
    ExecutionStatusPoller,
    ProgressStreamSubscriber,
    QueueFull,
    UnknownExecution,
    WaitTimeout,
)
from zmqruntime.messages import (
    DecodeError,
    ErrorKind,
    ExecutionErrorInfo,
    ExecutionStatus,
    JsonValue,
    ProgressEvent,
    ProgressScope,
    StateEvent,
)
from zmqruntime.transport import MessageTooLarge

Event = ProgressEvent | StateEvent

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


class RecordedEvents:
    """A progress callback that records its events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._ended: set[str] = set()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StateEvent) and event.status.is_terminal:
            self._ended.add(event.execution_id)

    def of(self, handle: ExecutionHandle) -> list[Event]:
        return [event for event in self.events if event.execution_id == handle.execution_id]

    def all_of(self, handle: ExecutionHandle) -> list[Event]:
        """Wait for the terminal event; return all events, without gaps and duplicates."""
        # A search through all events would slow down the thread that receives them.
        name = handle.execution_id
        eventually(lambda: name in self._ended, f"the last event of {handle} arrives")
        events = self.of(handle)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        return events


def submit(client: ExecutionClient, do: str, **arguments: Any) -> ExecutionHandle:
    return client.submit_execution({"do": do, **arguments})


def worker_of(client: ExecutionClient) -> int:
    (worker,) = client.ping().workers
    return worker.pid


def error_of(handle: ExecutionHandle) -> ExecutionErrorInfo:
    with pytest.raises(ExecutionFailed) as caught:
        handle.result(PATIENCE)
    error = caught.value.record.error
    assert error is not None
    assert caught.value.record.result is None
    return error


def assert_cancelled(handle: ExecutionHandle) -> None:
    with pytest.raises(ExecutionCancelled):
        handle.result(PATIENCE)


def assert_executes(client: ExecutionClient) -> None:
    assert submit(client, "echo", value="served").result(PATIENCE) == "served"


@contextlib.contextmanager
def blocked(client: ExecutionClient, gate: Path) -> Iterator[ExecutionHandle]:
    """Occupy the worker in the block, so that submitted executions stay queued."""
    handle = submit(client, "wait_for", path=str(gate))
    await_phase(handle)
    yield handle
    gate.touch()
    assert handle.result(PATIENCE) == "seen"


# -- results ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**53 + 1,
        10**40,
        1.5,
        1e-300,
        "",
        "text",
        "zwölf Boxkämpfer \U0001f94a \x00 \u2028",
        [],
        {},
        [None, [True, {"a": []}]],
        {"": {"b": [1, 2.5, "c"]}, "ключ": None},
        list(range(100_000)),
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:12]!a}",
)
def test_json_value_is_returned_as_a_result(client: ExecutionClient, value: JsonValue) -> None:
    result = client.execute({"do": "echo", "value": value}, timeout=PATIENCE)
    assert result == value
    assert type(result) is type(value)


def test_worker_process_runs_several_tasks_and_is_set_up_once(
    client: ExecutionClient,
) -> None:
    first, second = (submit(client, "describe").result(PATIENCE) for _ in range(2))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["pid"] == second["pid"] == worker_of(client)
    assert first["pid"] not in (os.getpid(), client.ping().process.pid)
    assert first["setups"] == second["setups"] == 1
    assert second["calls"] == first["calls"] + 1  # type: ignore[operator]
    assert first["main_thread"] is True


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("generator", "result is of type generator"),
        ("bytes", "result is bytes that are not UTF-8"),
        ("nan", "result.a[1] is nan"),
        ("infinity", "result is inf"),
        ("tuple key", "key of type tuple"),
        ("cycle", "contains itself"),
        ("surrogate", "surrogate"),
        ("object", "result.a.b is of type object"),
    ],
)
def test_result_that_is_not_json_fails_the_execution_and_names_the_part(
    client: ExecutionClient, kind: str, reason: str
) -> None:
    worker = worker_of(client)
    error = error_of(submit(client, "return", kind=kind))
    assert error.kind is ErrorKind.UNSERIALIZABLE_RESULT
    assert reason in error.message
    assert_executes(client)
    assert worker_of(client) == worker


def test_too_large_requests_and_results_are_rejected_by_their_sender(
    make_place: Callable[..., Place],
) -> None:
    client = make_place(max_message_bytes=2**20).client("Workshop")

    largest = submit(client, "letters", count=2**20 - 2**16 - 2)
    assert len(largest.result(PATIENCE)) == 2**20 - 2**16 - 2  # type: ignore[arg-type]

    error = error_of(submit(client, "letters", count=2**20))
    assert error.kind is ErrorKind.RESULT_TOO_LARGE
    assert "1,048,578 bytes" in error.message

    with pytest.raises(MessageTooLarge, match="1,048,576"):
        submit(client, "echo", value="x" * 2**20)
    assert_executes(client)


def test_task_that_is_not_json_is_rejected_by_the_client(client: ExecutionClient) -> None:
    with pytest.raises(DecodeError, match=r"task\.value"):
        submit(client, "echo", value=object())


# -- progress ---------------------------------------------------------------------------------


def test_callback_receives_all_events_from_queued_to_the_terminal_one(connect: Connect) -> None:
    recorded = RecordedEvents()
    client = connect(progress_callback=recorded)
    handle = client.submit_execution({"do": "count", "steps": 3}, labels={"tile": "7"})
    events = recorded.all_of(handle)

    values = [e.status if isinstance(e, StateEvent) else e.completed for e in events]
    assert values == ["queued", "running", 1, 2, 3, "complete"]
    progress = [event for event in events if isinstance(event, ProgressEvent)]
    assert [round(event.percent or 0) for event in progress] == [33, 67, 100]
    assert [event.message for event in progress] == ["step 1", "step 2", "step 3"]
    record = handle.status()
    assert record.progress == progress[-1]
    assert record.labels == {"tile": "7"}
    assert record.submitted_at <= (record.started_at or 0) <= (record.finished_at or 0)


def test_progress_data_is_any_json_object(connect: Connect) -> None:
    recorded = RecordedEvents()
    client = connect(progress_callback=recorded)
    data = {"tile": [1, 2], "ключ": {"nested": None}}
    handle = submit(client, "report", data=data, phase="φ", completed=0.5, total=2)
    event = recorded.all_of(handle)[2]
    assert isinstance(event, ProgressEvent)
    assert (event.data, event.phase, event.percent) == (data, "φ", 25.0)


def test_progress_that_is_not_json_fails_the_task(client: ExecutionClient) -> None:
    error = error_of(submit(client, "report", message=7))
    assert (error.kind, error.type) == (ErrorKind.EXCEPTION, "TypeError")
    assert_executes(client)


def test_stream_of_a_handle_yields_events_until_the_terminal_one(
    client: ExecutionClient, tmp_path: Path
) -> None:
    with blocked(client, tmp_path / "gate"):
        handle = submit(client, "count", steps=5)
        events = handle.progress()  # Attaches while the execution is queued.
        (tmp_path / "gate").touch()
        seen = list(events)
    counted = [event.completed for event in seen if isinstance(event, ProgressEvent)]
    assert counted == [1, 2, 3, 4, 5]
    assert isinstance(seen[-1], StateEvent)
    assert seen[-1].status is ExecutionStatus.COMPLETE


def test_stream_of_an_ended_execution_yields_the_latest_progress_and_the_terminal_event(
    client: ExecutionClient,
) -> None:
    handle = submit(client, "count", steps=3)
    record = handle.wait(PATIENCE)
    progress, event = handle.progress()
    assert isinstance(progress, ProgressEvent)
    assert progress.completed == 3
    assert isinstance(event, StateEvent)
    assert (event.status, event.finished_at) == (record.status, record.finished_at)


def test_stream_of_a_running_execution_begins_with_its_state_and_latest_progress(
    client: ExecutionClient, tmp_path: Path
) -> None:
    with blocked(client, tmp_path / "gate") as handle:
        events = handle.progress()
        state, latest = next(events), next(events)
        (tmp_path / "gate").touch()
        (last,) = events
    assert isinstance(state, StateEvent)
    assert state.status is ExecutionStatus.RUNNING
    assert isinstance(latest, ProgressEvent)
    assert latest.phase == "begun"
    assert isinstance(last, StateEvent)
    assert last.status is ExecutionStatus.COMPLETE


@pytest.mark.parametrize("with_callback", [True, False])
def test_stream_of_a_failed_execution_ends_with_its_error(
    connect: Connect, with_callback: bool
) -> None:
    client = connect(progress_callback=RecordedEvents() if with_callback else None)
    *_, last = submit(client, "fail", message="no").progress()
    assert isinstance(last, StateEvent)
    assert last.error is not None
    assert last.error.message == "no"


def test_callback_that_raises_is_logged_and_receives_further_events(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = RecordedEvents()

    def callback(event: Event) -> None:
        recorded(event)
        raise RuntimeError("an error of the callback")

    client = connect(progress_callback=callback)
    with caplog.at_level(logging.ERROR, "zmqruntime"):
        handle = submit(client, "count", steps=10)
        assert len(recorded.all_of(handle)) == 13
        assert handle.result(PATIENCE) == 10
        client.disconnect()
    assert "an error of the callback" in caplog.text
    assert len(caplog.records) == 13


def test_callback_may_use_its_own_client(connect: Connect) -> None:
    results: list[JsonValue] = []

    def callback(event: Event) -> None:
        if isinstance(event, StateEvent) and event.status is ExecutionStatus.COMPLETE:
            results.append(client.get_record(event.execution_id).result)

    client = connect(progress_callback=callback)
    submit(client, "echo", value="read in the callback")
    eventually(lambda: results, "the callback got the result")
    assert results == ["read in the callback"]


def test_fifty_thousand_events_arrive_in_order(make_place: Callable[..., Place]) -> None:
    # Room for all, since a client may fall behind on a busy machine.
    place = make_place(data_high_water_mark=60_000)
    recorded = RecordedEvents()
    client = place.client("Workshop", progress_callback=recorded)
    handle = submit(client, "count", steps=50_000)
    events = recorded.all_of(handle)
    assert len(events) == 50_003
    counted = [event.completed for event in events if isinstance(event, ProgressEvent)]
    assert counted == list(range(1, 50_001))


def test_progress_of_all_threads_of_a_task_arrives(connect: Connect) -> None:
    recorded = RecordedEvents()
    client = connect(progress_callback=recorded)
    handle = submit(client, "report_from_threads", threads=8, each=100)
    progress = [e for e in recorded.all_of(handle) if isinstance(e, ProgressEvent)]
    assert len(progress) == 800
    for thread in range(8):
        own = [e.completed for e in progress if e.data == {"thread": thread}]
        assert own == list(range(1, 101))


def test_progress_of_a_child_process_of_the_task_arrives(connect: Connect) -> None:
    recorded = RecordedEvents()
    client = connect(progress_callback=recorded)
    worker = worker_of(client)
    handle = submit(client, "report_from_process", each=100)
    assert handle.result(PATIENCE) == 0
    progress = [e for e in recorded.all_of(handle) if isinstance(e, ProgressEvent)]
    assert [e.completed for e in progress] == list(range(1, 101))
    (child,) = {e.data["pid"] for e in progress if e.data}
    assert child != worker


def test_client_receives_events_of_its_own_executions_and_an_observer_of_all(
    connect: Connect,
) -> None:
    events_of_ann, events_of_bob, events_of_all = (
        RecordedEvents(),
        RecordedEvents(),
        RecordedEvents(),
    )
    ann = connect(client_id="ann", progress_callback=events_of_ann)
    bob = connect(client_id="bob", progress_callback=events_of_bob)
    observer = connect()
    stream = ProgressStreamSubscriber(observer, "observer", events_of_all, scope=ProgressScope.ALL)
    assert set(observer.ping().progress_subscribers) == {"ann", "bob", "observer"}

    anns, bobs = submit(ann, "count", steps=5), submit(bob, "count", steps=7)
    assert len(events_of_ann.all_of(anns)) == len(events_of_all.all_of(anns)) == 8
    assert len(events_of_bob.all_of(bobs)) == len(events_of_all.all_of(bobs)) == 10
    assert events_of_ann.of(bobs) == events_of_bob.of(anns) == []
    assert stream.missed == 0

    stream.close()
    ann.disconnect()
    assert observer.ping().progress_subscribers == ("bob",)


# -- responsiveness -------------------------------------------------------------------------


@pytest.mark.parametrize("do", ["spin", "hold_the_lock"])
def test_ping_does_not_wait_for_a_task_that_occupies_the_interpreter(place: Place, do: str) -> None:
    client = place.client("ShortGrace")
    handle = submit(client, do)
    await_phase(handle)
    # The task is endless: a ping that waits for it would time out.
    for _ in range(50):
        client.ping()
    assert handle.status().status is ExecutionStatus.RUNNING
    (running,) = client.ping(limit=1).running_executions
    assert running.execution_id == handle.execution_id
    handle.cancel()
    assert_cancelled(handle)


def reports_of(handle: ExecutionHandle) -> float:
    """Return how many reports of a running task the server has received."""
    record = handle.status()
    assert record.status is ExecutionStatus.RUNNING
    assert record.progress is not None
    assert record.progress.completed is not None
    return record.progress.completed


def test_ping_does_not_wait_for_a_flood_of_progress(connect: Connect) -> None:
    recorded = RecordedEvents()
    listener = connect(progress_callback=recorded)
    handle = submit(listener, "count", steps=10**9)
    eventually(lambda: len(recorded.events) > 1000, "a thousand events have arrived")
    seen = [reports_of(handle)]
    for _ in range(50):
        listener.ping()
        seen.append(reports_of(handle))
    # The number of reports between two requests: usually some hundreds. Seconds would depend on the
    # load of the machine. A ping that waits for the flood would see its end.
    assert statistics.median(after - before for before, after in pairwise(seen)) < 50_000
    handle.cancel()
    assert_cancelled(handle)


# -- cancelling -----------------------------------------------------------------------------


def test_cancel_of_a_queued_execution_is_immediate(client: ExecutionClient, tmp_path: Path) -> None:
    with blocked(client, tmp_path / "gate") as running:
        first, second, third = (submit(client, "echo", value=n) for n in range(3))
        assert second.cancel() is ExecutionStatus.CANCELLED
        assert second.status().started_at is None
        assert second.status().status is ExecutionStatus.CANCELLED
        assert third.status().queue_position == 2
        assert running.status().status is ExecutionStatus.RUNNING
    assert (first.result(PATIENCE), third.result(PATIENCE)) == (0, 2)
    assert_cancelled(second)


@pytest.mark.parametrize("do", ["spin", "sleep", "poll_cancel"])
def test_cancel_of_a_running_task_keeps_the_worker_process(
    client: ExecutionClient, do: str
) -> None:
    worker = worker_of(client)
    cancelled, queued = submit(client, do), submit(client, "describe")
    await_phase(cancelled)
    assert cancelled.cancel() is ExecutionStatus.RUNNING

    assert_cancelled(cancelled)
    described = queued.result(PATIENCE)
    assert isinstance(described, dict)
    assert described["pid"] == worker


def test_cancelled_task_cleans_up(client: ExecutionClient, tmp_path: Path) -> None:
    handle = submit(client, "clean_up", path=str(tmp_path / "tidy"))
    await_phase(handle)
    handle.cancel()
    assert_cancelled(handle)
    assert (tmp_path / "tidy").read_text() == "cleaned up"


@pytest.mark.parametrize("do", ["compute", "hold_the_lock", "ignore_interrupts"])
def test_worker_of_a_task_that_ignores_the_interrupt_is_killed(place: Place, do: str) -> None:
    client = place.client("ShortGrace")
    worker = worker_of(client)
    cancelled, queued = submit(client, do), submit(client, "describe")
    await_phase(cancelled)
    cancelled.cancel()

    assert_cancelled(cancelled)
    described = queued.result(PATIENCE)
    assert isinstance(described, dict)
    assert described["pid"] != worker
    assert described["setups"] == 1
    assert not psutil.pid_exists(worker)


def test_child_processes_end_with_a_killed_worker(place: Place) -> None:
    client = place.client("ShortGrace")
    cancelled = submit(client, "ignore_interrupts", children=3)
    begun = await_phase(cancelled)
    assert begun.data is not None
    children = [psutil.Process(pid) for pid in begun.data["pids"]]  # type: ignore[union-attr,arg-type]
    assert all(child.is_running() for child in children)
    cancelled.cancel()
    assert_cancelled(cancelled)
    eventually(lambda: not any(c.is_running() for c in children), "the child processes have ended")
    assert_executes(client)


def test_repeated_cancel_has_no_further_effect(client: ExecutionClient) -> None:
    handle = submit(client, "sleep")
    await_phase(handle)
    for _ in range(3):
        handle.cancel()
    assert_cancelled(handle)
    assert handle.cancel() is ExecutionStatus.CANCELLED
    assert_executes(client)


def test_cancel_of_an_ended_execution_is_a_conflict(client: ExecutionClient) -> None:
    complete = submit(client, "echo", value=1)
    failed = submit(client, "fail", message="no")
    complete.wait(PATIENCE)
    failed.wait(PATIENCE)
    for handle in (complete, failed):
        with pytest.raises(Conflict, match="ended already"):
            handle.cancel()
    assert complete.result(PATIENCE) == 1


def test_cancel_never_affects_the_next_execution(client: ExecutionClient) -> None:
    """Cancels race with the ends of their tasks."""
    ends = set()
    for n in range(300):
        cancelled = submit(client, "count", steps=n % 50)
        following = submit(client, "count", steps=20)
        with contextlib.suppress(Conflict):
            cancelled.cancel()
        ends.add(cancelled.wait(PATIENCE).status)
        assert following.result(PATIENCE) == 20
    assert ends <= {ExecutionStatus.COMPLETE, ExecutionStatus.CANCELLED}


def test_task_fails_at_its_time_limit(client: ExecutionClient) -> None:
    worker = worker_of(client)
    too_long = client.submit_execution({"do": "sleep"}, timeout_seconds=0.2)
    in_time = client.submit_execution({"do": "echo", "value": 1}, timeout_seconds=PATIENCE)
    error = error_of(too_long)
    assert error.kind is ErrorKind.TIMEOUT
    assert "0.2 s" in error.message
    assert in_time.result(PATIENCE) == 1
    assert worker_of(client) == worker


def test_task_that_ignores_the_interrupt_at_its_time_limit_fails(place: Place) -> None:
    client = place.client("ShortGrace")
    handle = client.submit_execution({"do": "ignore_interrupts"}, timeout_seconds=0.2)
    assert error_of(handle).kind is ErrorKind.TIMEOUT
    assert_executes(client)


# -- failures -------------------------------------------------------------------------------


def test_error_of_a_failed_task_has_message_and_traceback(client: ExecutionClient) -> None:
    error = error_of(submit(client, "fail", message="the reason\nin two lines"))
    assert (error.kind, error.type) == (ErrorKind.EXCEPTION, "ValueError")
    assert error.message == "the reason\nin two lines"
    assert error.traceback is not None
    assert "raise ValueError(message)" in error.traceback
    assert "zmqruntime/execution" not in error.traceback.replace(os.sep, "/")


@pytest.mark.parametrize(
    ("kind", "type_name", "message"),
    [
        ("interrupt", "KeyboardInterrupt", "raised by the task"),
        ("exit", "SystemExit", "3"),
        ("group", "ExceptionGroup", "two at once (2 sub-exceptions)"),
        ("surrogate", "ValueError", "a name that is not UTF-8: \\udcff"),
        ("no message", "_NoMessage", ""),
    ],
)
def test_exception_of_any_kind_fails_only_its_task(
    client: ExecutionClient, kind: str, type_name: str, message: str
) -> None:
    worker = worker_of(client)
    error = error_of(submit(client, "raise", kind=kind))
    assert (error.kind, error.type) == (ErrorKind.EXCEPTION, type_name)
    assert message in error.message
    assert_executes(client)
    assert worker_of(client) == worker


# A crash, with the exit code and the signal in its record.
CRASHES = [
    pytest.param("segfault", {}, None, "SIGSEGV", marks=posix_only),
    pytest.param("abort", {}, None, "SIGABRT", marks=posix_only),
    pytest.param("exit", {"code": 7}, 7, None),
    pytest.param("exit", {"code": 0}, 0, None, id="exit-0"),
]


@pytest.mark.parametrize(("do", "arguments", "exit_code", "signal_name"), CRASHES)
def test_crash_fails_one_execution_and_the_next_runs_in_a_new_process(
    client: ExecutionClient,
    do: str,
    arguments: dict[str, Any],
    exit_code: int | None,
    signal_name: str | None,
) -> None:
    worker = worker_of(client)
    crashed, queued = submit(client, do, **arguments), submit(client, "describe")

    error = error_of(crashed)
    assert error.kind is ErrorKind.WORKER_DIED
    assert (error.exit_code, error.signal) == (exit_code, signal_name)
    assert (signal_name or f"exit code {exit_code}") in error.message
    described = queued.result(PATIENCE)
    assert isinstance(described, dict)
    assert described["pid"] != worker
    assert described["setups"] == 1


def test_kill_of_a_worker_fails_its_execution(client: ExecutionClient) -> None:
    crashed, queued = submit(client, "sleep"), submit(client, "echo", value=1)
    await_phase(crashed)
    psutil.Process(worker_of(client)).kill()
    error = error_of(crashed)
    assert error.kind is ErrorKind.WORKER_DIED
    if os.name != "nt":
        assert error.signal == "SIGKILL"
    assert queued.result(PATIENCE) == 1


def test_idle_worker_is_replaced_after_a_kill(client: ExecutionClient) -> None:
    worker = worker_of(client)
    psutil.Process(worker).kill()

    def replaced() -> bool:
        pong = client.ping()
        return pong.ready and [w.pid for w in pong.workers] != [worker]

    eventually(replaced, "another worker is ready")
    assert_executes(client)


@posix_only
def test_task_that_exhausts_memory_fails(client: ExecutionClient) -> None:
    error = error_of(submit(client, "exhaust_memory"))
    assert (error.kind, error.type) == (ErrorKind.EXCEPTION, "MemoryError")
    assert_executes(client)


@posix_only
def test_sigint_to_the_worker_from_outside_is_ignored(client: ExecutionClient) -> None:
    worker = worker_of(client)
    handle = submit(client, "count", steps=200)
    while not handle.done():
        os.kill(worker, signal.SIGINT)
    assert handle.result(PATIENCE) == 200
    assert worker_of(client) == worker


# -- waits and status -------------------------------------------------------------------------


def test_held_status_request_gets_its_reply_at_the_end_of_the_execution(
    client: ExecutionClient, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(10) as pool:
        with blocked(client, tmp_path / "gate") as handle:
            held = [pool.submit(client.get_record, handle.execution_id, 60.0) for _ in range(10)]
        records = [waiter.result(PATIENCE) for waiter in held]
    # A reply before the end, or at the end of the hold, would have the status running.
    assert {record.status for record in records} == {ExecutionStatus.COMPLETE}


def test_held_status_request_gets_the_current_status_at_its_timeout(
    client: ExecutionClient, tmp_path: Path
) -> None:
    with blocked(client, tmp_path / "gate") as handle:
        started = time.monotonic()
        record = client.get_record(handle.execution_id, 0.3)
        assert time.monotonic() - started >= 0.3
        assert record.status is ExecutionStatus.RUNNING
        with pytest.raises(WaitTimeout, match=r"still running after 0\.1 s"):
            handle.result(timeout=0.1)


def test_repeated_submission_runs_once(client: ExecutionClient) -> None:
    before = submit(client, "describe").result(PATIENCE)
    handles = [
        client.submit_execution({"do": "describe"}, execution_id="the-one-and-only")
        for _ in range(3)
    ]
    first, *others = (handle.result(PATIENCE) for handle in handles)
    assert all(other == first for other in others)
    assert isinstance(first, dict)
    assert isinstance(before, dict)
    assert first["calls"] == before["calls"] + 1  # type: ignore[operator]
    with pytest.raises(Conflict, match="already belongs to another task"):
        client.submit_execution({"do": "echo"}, execution_id="the-one-and-only")


def test_submission_with_the_same_id_by_another_client_returns_the_result(connect: Connect) -> None:
    first = connect(client_id="resumed")
    first.submit_execution({"do": "echo", "value": 1}, execution_id="named").wait(PATIENCE)
    first.disconnect()
    again = connect(client_id="resumed")
    handle = again.submit_execution({"do": "echo", "value": 1}, execution_id="named")
    assert handle.result(PATIENCE) == 1


def test_unknown_execution_raises(client: ExecutionClient) -> None:
    for call in (client.get_record, client.cancel_execution, client.wait_for_completion):
        with pytest.raises(UnknownExecution, match="missing-execution"):
            call("missing-execution")


def test_history_keeps_unread_records_and_the_latest_read_ones(place: Place) -> None:
    client = place.client("ShortHistory")
    handles = [submit(client, "echo", value=n) for n in range(5)]
    eventually(lambda: client.ping().queued_count == 0, "all have started")
    handles[-1].wait(60.0)
    assert [handle.result(PATIENCE) for handle in handles] == [0, 1, 2, 3, 4]
    with pytest.raises(UnknownExecution):  # The first one that was read.
        client.get_record(handles[4].execution_id)
    assert client.poll_status().counts[ExecutionStatus.COMPLETE] == 3


def test_full_queue_rejects_submissions(place: Place, tmp_path: Path) -> None:
    client = place.client("ShortQueue")
    with blocked(client, tmp_path / "gate"):
        first, second = (submit(client, "echo", value=n) for n in range(2))
        with pytest.raises(QueueFull, match="no more than 2"):
            submit(client, "echo", value=2)
        first.cancel()
        third = submit(client, "echo", value=3)
    assert (second.result(PATIENCE), third.result(PATIENCE)) == (1, 3)


def test_queue_is_returned_in_pages(client: ExecutionClient, tmp_path: Path) -> None:
    with blocked(client, tmp_path / "gate") as running:
        handles = [submit(client, "echo", value=n) for n in range(25)]
        ids: list[str] = []
        cursor = None
        while True:
            page = client.poll_status(limit=10, cursor=cursor)
            ids += [info.execution_id for info in page.queued_executions]
            cursor = page.cursor
            if cursor is None:
                break
        assert ids == [handle.execution_id for handle in handles]
        (info,) = page.running_executions
        assert info.execution_id == running.execution_id
        assert page.counts[ExecutionStatus.QUEUED] == client.ping(limit=3).queued_count == 25
        assert len(client.ping(limit=3).queued_executions) == 3
    assert [handle.result(PATIENCE) for handle in handles] == list(range(25))


def test_client_is_shared_by_many_threads(client: ExecutionClient) -> None:
    def work(thread: int) -> list[JsonValue]:
        return [
            client.execute({"do": "echo", "value": [thread, n]}, timeout=PATIENCE)
            for n in range(20)
        ]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert results == [[[thread, n] for n in range(20)] for thread in range(8)]


def test_poller_yields_each_change_of_status_once(client: ExecutionClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = submit(client, "wait_for", path=str(gate))
    statuses = []
    for record in ExecutionStatusPoller(client.get_record).follow(handle.execution_id, PATIENCE):
        statuses.append(record.status)
        gate.touch()
    assert statuses[-1] is ExecutionStatus.COMPLETE
    assert statuses.count(ExecutionStatus.COMPLETE) == 1


def test_batch_returns_results_in_order(client: ExecutionClient) -> None:
    tasks = [{"do": "echo", "value": n} for n in range(50)]
    assert BatchSubmitWaitEngine(client).run(tasks).results() == list(range(50))


def test_batch_that_fails_fast_cancels_the_rest(client: ExecutionClient, tmp_path: Path) -> None:
    mark = tmp_path / "all-submitted"

    def tasks() -> Iterator[dict[str, Any]]:
        yield {"do": "fail", "message": "first", "after": str(mark)}
        for _ in range(5):
            yield {"do": "sleep"}
        mark.touch()

    result = BatchSubmitWaitEngine(client, fail_fast=True).run(tasks())
    assert [record.status for record in result.records] == ["failed", *["cancelled"] * 5]
    with pytest.raises(ExecutionFailed, match="first"):
        result.results()


def test_pong_has_the_details_of_the_application(place: Place) -> None:
    pong = place.client("Described").ping()
    assert pong.details == {"motto": "few words"}
    assert pong.server == "Described"
    assert pong.log_file_path is not None
    assert Path(pong.log_file_path).parent == place.config.log_dir


def test_disconnected_client_leaves_no_thread_or_file(connect: Connect) -> None:
    before = threading.active_count()
    handles = psutil.Process().num_fds() if sys.platform != "win32" else 0
    for _ in range(5):
        client = connect(progress_callback=RecordedEvents())
        assert_executes(client)
        client.disconnect()
    assert threading.active_count() == before
    if sys.platform != "win32":
        assert psutil.Process().num_fds() == handles
