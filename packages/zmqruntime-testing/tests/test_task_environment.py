"""A task in a `TaskEnvironment` behaves as in a worker."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sample_apps import Delegator, Stitcher

from zmqruntime.execution import (
    ExecuteRequest,
    ExecutionCancelled,
    ExecutionContext,
    ExecutionFailed,
    ExecutionServer,
)
from zmqruntime.messages import DecodeError, ErrorKind, ExecutionStatus, JsonValue
from zmqruntime.testing import MovableClock, TaskEnvironment

_Body = Callable[[ExecuteRequest, ExecutionContext], Any]


class Doing(ExecutionServer):
    """Runs a function of the test as its task."""

    def __init__(self, body: _Body) -> None:
        super().__init__()
        self._body = body

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        result: JsonValue = self._body(request, context)
        return result


def run(body: _Body, **options: Any) -> JsonValue:
    return TaskEnvironment(Doing(body)).run({}, **options)


def test_run_returns_the_result_and_collects_progress() -> None:
    environment = TaskEnvironment(Stitcher())
    result = environment.run({"tiles": ["a", "b"]}, {"scale": 2})
    assert result == {"stitched": 2, "config": {"scale": 2}}
    assert [
        (e.completed, e.total, e.percent, e.phase, e.message) for e in environment.progress
    ] == [
        (1, 2, 50.0, "stitch", "a"),
        (2, 2, 100.0, "stitch", "b"),
    ]


def test_progress_has_the_sequence_numbers_of_a_server() -> None:
    environment = TaskEnvironment(Stitcher())
    environment.run({"tiles": ["a", "b"]}, execution_id="stitch-1")
    # 1 and 2 are the state events queued and running.
    assert [(e.sequence, e.execution_id) for e in environment.progress] == [
        (3, "stitch-1"),
        (4, "stitch-1"),
    ]


def test_setup_worker_runs_once_before_the_first_task() -> None:
    server = Stitcher()
    environment = TaskEnvironment(server)
    assert server.setups == 0
    environment.run({"tiles": ["a"]})
    environment.run({"tiles": ["b", "c"]})
    assert server.setups == 1
    assert [e.message for e in environment.progress] == ["b", "c"]  # of the latest run


def test_task_receives_the_request() -> None:
    seen = []

    def body(request: ExecuteRequest, context: ExecutionContext) -> None:
        seen.append((request.task, request.client_id, context.client_id, context.labels))

    environment = TaskEnvironment(Doing(body))
    environment.run({"key": ["a", 1]}, client_id="lab", labels={"run": "7"})
    assert seen == [({"key": ["a", 1]}, "lab", "lab", {"run": "7"})]


def test_each_run_has_a_new_execution_id() -> None:
    ids: set[str] = set()
    environment = TaskEnvironment(Doing(lambda _, context: ids.add(context.execution_id)))
    environment.run({})
    environment.run({})
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("task", "options", "field"),
    [
        ({"when": object()}, {}, "task.when"),
        ({"x": float("nan")}, {}, "task.x"),
        ({1: "x"}, {}, "task"),
        ({}, {"client_id": "not a name"}, "client_id"),
        ({}, {"labels": {"n": 1}}, "labels.n"),
    ],
)
def test_invalid_request_is_rejected(task: Any, options: dict[str, Any], field: str) -> None:
    server = Stitcher()
    with pytest.raises(DecodeError, match=field):
        TaskEnvironment(server).run(task, **options)
    assert server.setups == 0


def test_exception_of_the_task_is_raised_unchanged() -> None:
    error = ZeroDivisionError("no tiles")

    def body(*_: object) -> None:
        raise error

    with pytest.raises(ZeroDivisionError, match="no tiles") as caught:
        run(body)
    assert caught.value is error
    assert caught.traceback[-1].name == "body"


@pytest.mark.parametrize("result", [{"a": object()}, float("inf"), {(1, 2): 2}, b"\xff"])
def test_result_that_is_not_json_fails(result: object) -> None:
    with pytest.raises(ExecutionFailed, match="result") as caught:
        run(lambda *_: result)
    assert caught.value.record.status is ExecutionStatus.FAILED
    assert caught.value.record.error is not None
    assert caught.value.record.error.kind is ErrorKind.UNSERIALIZABLE_RESULT


def test_oversized_result_fails() -> None:
    with pytest.raises(ExecutionFailed, match="write it to a file") as caught:
        run(lambda *_: "x" * 70_000_000)
    assert caught.value.record.error is not None
    assert caught.value.record.error.kind is ErrorKind.RESULT_TOO_LARGE


def test_cancel_at_stops_the_task_at_a_step() -> None:
    environment = TaskEnvironment(Stitcher())
    with pytest.raises(ExecutionCancelled) as caught:
        environment.run({"tiles": list("abcde")}, cancel_at=3, labels={"run": "7"})
    assert [e.message for e in environment.progress] == ["a", "b", "c"]
    record = caught.value.record
    assert record.status is ExecutionStatus.CANCELLED
    assert record.labels == {"run": "7"}
    assert record.progress == environment.progress[-1]


def test_task_that_returns_before_cancel_at_completes() -> None:
    environment = TaskEnvironment(Stitcher())
    assert environment.run({"tiles": ["a"]}, cancel_at=2) == {"stitched": 1, "config": None}


def test_cancel_from_another_thread_interrupts_a_wait() -> None:
    def cancel_when_it_sleeps() -> None:
        reported.wait()
        environment.cancel()

    def body(*_: object) -> None:
        reported.set()
        time.sleep(1000)

    environment = TaskEnvironment(Doing(body))
    reported = threading.Event()
    thread = threading.Thread(target=cancel_when_it_sleeps)
    thread.start()
    with pytest.raises(ExecutionCancelled):
        environment.run({})
    thread.join()


def test_task_that_reads_the_cancel_flag_can_clean_up() -> None:
    cleaned_up = []

    def body(_: object, context: ExecutionContext) -> str:
        with context.shield():
            context.report_progress()
            assert context.cancel_requested
            cleaned_up.append(True)
        return "never reached"

    with pytest.raises(ExecutionCancelled):
        run(body, cancel_at=1)
    assert cleaned_up == [True]


def test_cancel_without_a_run_does_nothing() -> None:
    environment = TaskEnvironment(Stitcher())
    environment.cancel()
    environment.run({"tiles": ["a"]})
    environment.cancel()
    environment.run({"tiles": ["a"]})


def test_late_cancel_is_not_a_keyboard_interrupt() -> None:
    # Many threads race with the end of the task; none may interrupt this test.
    environment = TaskEnvironment(Doing(lambda *_: started.set()))
    for _ in range(200):
        started = threading.Event()

        def cancel(started: threading.Event = started) -> None:
            started.wait()
            environment.cancel()

        threads = [threading.Thread(target=cancel) for _ in range(3)]
        for thread in threads:
            thread.start()
        with contextlib.suppress(ExecutionCancelled):
            environment.run({})
        for thread in threads:
            thread.join()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Restore the default handler of SIGINT, which a shell may have set to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_raises_a_keyboard_interrupt() -> None:
    before = signal.getsignal(signal.SIGINT)

    def body(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        run(body)
    assert type(caught.value) is KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is before


def test_signal_handlers_are_restored_after_a_cancel() -> None:
    before = [signal.getsignal(signum) for signum in signal.valid_signals()]
    with pytest.raises(ExecutionCancelled):
        run(lambda _, context: context.report_progress(), cancel_at=1)
    assert [signal.getsignal(signum) for signum in signal.valid_signals()] == before


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of fork, by 3.12
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_progress_of_threads_and_processes_is_collected(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    environment = TaskEnvironment(Delegator())
    assert environment.run({"method": method}) == {"exit code": 0}
    assert [e.completed for e in environment.progress] == [1, 2, 3, 4]
    assert [e.sequence for e in environment.progress] == [3, 4, 5, 6]


def test_cancel_at_counts_reports_of_other_threads() -> None:
    def body(_: object, context: ExecutionContext) -> None:
        thread = threading.Thread(target=context.report_progress)
        thread.start()
        thread.join()
        time.sleep(1000)

    with pytest.raises(ExecutionCancelled):
        run(body, cancel_at=1)


def test_report_of_a_process_after_the_end_is_dropped() -> None:
    kept: list[Any] = []

    def body(_: object, context: ExecutionContext) -> None:
        kept.append(context.reporter.__reduce__())

    environment = TaskEnvironment(Doing(body))
    environment.run({})
    make, arguments = kept[0]
    make(*arguments).report(1)  # as an unpickled reporter does
    assert environment.progress == []


def test_second_run_at_the_same_time_is_rejected() -> None:
    environment = TaskEnvironment(Doing(lambda *_: environment.run({})))
    with pytest.raises(RuntimeError, match="one at a time"):
        environment.run({})
    assert run(lambda *_: 1) == 1


def test_run_outside_the_main_thread_is_rejected() -> None:
    errors = []

    def elsewhere() -> None:
        try:
            run(lambda *_: None)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert errors == [
        "TaskEnvironment.run() was not called from the main thread, which an interrupt needs: "
        "run the test in the main thread"
    ]


def test_run_leaves_no_thread() -> None:
    before = threading.active_count()
    run(lambda *_: None)
    assert threading.active_count() == before


def test_fixture_returns_the_class(task_environment: type[TaskEnvironment]) -> None:
    assert task_environment(Stitcher()).run({"tiles": []}) == {"stitched": 0, "config": None}


def test_times_are_those_of_the_clock() -> None:
    def body(_: object, context: ExecutionContext) -> None:
        context.report_progress()
        clock.advance(60)
        context.report_progress()

    clock = MovableClock()
    environment = TaskEnvironment(Doing(body), clock)
    environment.run({})
    first, second = environment.progress
    assert second.timestamp - first.timestamp == 60


def test_task_fails_at_its_timeout() -> None:
    def body(*_: object) -> None:
        clock.advance(59)
        reached.append(59)
        clock.advance(2)
        reached.append(61)

    reached: list[int] = []
    clock = MovableClock()
    with pytest.raises(ExecutionFailed, match="longer than 60 s") as caught:
        TaskEnvironment(Doing(body), clock).run({}, timeout_seconds=60)
    assert reached == [59]
    record = caught.value.record
    assert record.error is not None
    assert record.error.kind is ErrorKind.TIMEOUT
    assert record.finished_at == record.submitted_at + 61


def test_timeout_affects_its_own_run_only() -> None:
    environment = TaskEnvironment(Doing(lambda *_: environment.clock.advance(50)))
    for _ in range(3):
        environment.run({}, timeout_seconds=60)


def test_advance_from_another_thread_interrupts_a_wait() -> None:
    def body(*_: object) -> None:
        begun.set()
        time.sleep(1000)

    def move() -> None:
        begun.wait()
        environment.clock.advance(61)

    begun = threading.Event()
    environment = TaskEnvironment(Doing(body))
    thread = threading.Thread(target=move)
    thread.start()
    with pytest.raises(ExecutionFailed, match="longer than"):
        environment.run({}, timeout_seconds=60)
    thread.join()
