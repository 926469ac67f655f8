"""Workers: crashes, restarts with a backoff, false starts."""

from __future__ import annotations

import pytest
from driving import Driver

from zmqruntime.execution import InMemoryLifecycleEngine, QueuePolicy
from zmqruntime.execution.core.effects import Exit
from zmqruntime.execution.core.responder import SLICE
from zmqruntime.messages import (
    ErrorKind,
    ExecutionErrorInfo,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    ShutdownMode,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


@pytest.mark.parametrize(
    ("exit_code", "expected"),
    [
        (
            3,
            ExecutionErrorInfo(
                kind=ErrorKind.WORKER_DIED,
                message="the worker process ended with exit code 3 while it ran the task",
                exit_code=3,
            ),
        ),
        (
            0,
            ExecutionErrorInfo(
                kind=ErrorKind.WORKER_DIED,
                message="the worker process ended with exit code 0 while it ran the task",
                exit_code=0,
            ),
        ),
        (
            -11,
            ExecutionErrorInfo(
                kind=ErrorKind.WORKER_DIED,
                message="the worker process ended with signal SIGSEGV while it ran the task",
                signal="SIGSEGV",
            ),
        ),
    ],
    ids=["exit code", "exit code 0", "signal"],
)
def test_crash_fails_the_task_with_its_exit_code_and_the_next_one_runs(
    exit_code: int, expected: ExecutionErrorInfo
) -> None:
    driver = Driver()
    driver.accept("a", "b")
    done = driver.worker_exits(exit_code)
    assert done.states == [("a", FAILED)]
    assert driver.record("a").error == expected
    assert done.starts_worker
    assert done.assigned == []
    assert driver.worker_ready().assigned == ["b"]


def test_unknown_exit_code_is_none_in_the_record() -> None:
    driver = Driver()
    driver.accept("a")
    driver.worker_exits(None)
    reason = driver.record("a").error
    assert reason is not None
    assert (reason.kind, reason.exit_code, reason.signal) == (ErrorKind.WORKER_DIED, None, None)


def test_idle_worker_that_ends_is_replaced() -> None:
    driver = Driver()
    done = driver.worker_exits(-9)
    assert done.starts_worker
    assert not done.events
    assert not driver.scheduler.ready
    driver.worker_ready()
    assert driver.scheduler.ready


def test_submit_between_two_workers_is_accepted() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    driver.accept("a")
    assert driver.worker_ready().assigned == ["a"]


def test_first_worker_that_fails_to_start_ends_the_server_with_its_error() -> None:
    driver = Driver(ready=False)
    done = driver.worker_exits(1, "ModuleNotFoundError: no model")
    assert done.effects == [
        Exit(
            "the worker did not get ready: it ended with exit code 1\nModuleNotFoundError: no model"
        )
    ]
    assert not driver.scheduler.ready


def test_first_process_that_cannot_be_started_ends_the_server() -> None:
    done = Driver(ready=False).worker_exits(None)
    assert done.effects == [Exit("the worker did not get ready: it could not be started")]


def test_server_without_a_worker_cancels_its_queue_and_ends_its_long_polls() -> None:
    driver = Driver(ready=False)
    driver.accept("a", "b")
    waiting = driver.hold("b", 60)
    done = driver.worker_exits(1)
    assert done.states == [("a", CANCELLED), ("b", CANCELLED)]
    assert done.callers == [waiting]
    record = done.reply(ExecutionStatusSnapshot).execution
    assert record is not None
    assert record.error is not None
    assert record.error.kind is ErrorKind.INTERRUPTED
    assert "its worker did not get ready" in record.error.message
    assert done.effects[-1] == Exit("the worker did not get ready: it ended with exit code 1")
    assert len(done.of(Exit)) == 1


def test_later_worker_that_fails_to_start_is_restarted_with_a_backoff() -> None:
    driver = Driver()
    driver.accept("a")
    assert driver.worker_exits(-9).starts_worker  # It had been ready: no backoff.
    delays = []
    for _ in range(12):
        done = driver.worker_exits(1)
        assert not done.starts_worker
        assert not done.exits
        deadline = driver.scheduler.next_deadline
        assert deadline is not None
        delays.append(round(deadline - driver.now.monotonic, 6))
        assert driver.advance(delays[-1]).starts_worker
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30]


def test_ready_worker_resets_the_backoff() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    for _ in range(3):
        driver.worker_exits(1)
        driver.advance(30)
    driver.worker_ready()
    assert driver.worker_exits(-9).starts_worker
    driver.worker_exits(1)
    assert driver.scheduler.next_deadline == driver.now.monotonic + 0.1


def test_worker_that_fails_to_start_20000_times_is_still_restarted() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    for _ in range(20_000):
        driver.worker_exits(1)
        assert driver.advance(30).starts_worker


def test_shutdown_does_not_wait_for_a_worker_that_fails_to_start() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    driver.worker_exits(1)
    assert driver.shut_down(ShutdownMode.DRAIN).exits


def test_drain_replaces_a_worker_while_executions_are_queued() -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.shut_down(ShutdownMode.DRAIN)
    done = driver.worker_exits(-9)
    assert done.starts_worker
    assert not done.exits
    assert driver.worker_ready().assigned == ["b"]
    done = driver.worker_exits(-9)
    assert not done.starts_worker
    assert done.exits


def test_execution_that_was_not_begun_is_requeued_at_the_head() -> None:
    driver = Driver()
    driver.accept("a", "b", timeout_seconds=60.0)
    done = driver.worker_exits(-9, has_begun=False)
    assert done.states == [("a", QUEUED)]
    record = driver.record("a")
    assert (record.queue_position, record.attempt, record.started_at) == (1, 1, None)
    assert done.starts_worker
    assert driver.worker_ready().assigned == ["a"]
    driver.returns("a")
    assert driver.record("a").attempts == ()


def test_execution_that_was_not_begun_keeps_the_turn_of_its_client() -> None:
    driver = Driver(engine=InMemoryLifecycleEngine(queue_policy=QueuePolicy.FAIR))
    driver.accept("a-1", "a-2", client_id="a")
    driver.accept("b-1", "b-2", client_id="b")
    driver.worker_exits(-9, has_begun=False)
    queue = [e.execution_id for _, e in driver.engine.list_queued(9).entries]
    # The other client arrived during this round, so the next one is its first.
    assert queue == ["a-1", "a-2", "b-1", "b-2"]


def test_cancelled_execution_that_was_not_begun_is_cancelled() -> None:
    driver = Driver()
    driver.accept("a")
    driver.cancel("a")
    assert driver.worker_exits(-9, has_begun=False).states == [("a", CANCELLED)]


def test_time_limit_does_not_fail_an_execution_that_was_not_begun() -> None:
    driver = Driver(cancel_grace_seconds=1.0)
    driver.accept("a", timeout_seconds=3.0)
    assert driver.advance(3.0).interrupted == ["a"]
    assert driver.advance(1.0).kills
    assert driver.worker_exits(-9, has_begun=False).states == [("a", QUEUED)]
    assert driver.worker_ready().assigned == ["a"]


def test_execution_that_five_workers_in_a_row_did_not_begin_fails() -> None:
    driver = Driver()
    driver.accept("a", "b", max_attempts=3)
    for _ in range(4):
        assert driver.worker_exits(-11, has_begun=False).states == [("a", QUEUED)]
        assert driver.worker_ready().assigned == ["a"]
    assert driver.worker_exits(-11, has_begun=False).states == [("a", FAILED)]
    error = driver.record("a").error
    assert error is not None
    assert (error.kind, error.signal) == (ErrorKind.WORKER_DIED, "SIGSEGV")
    assert error.message.startswith("5 worker processes in a row ended before they began the task")
    assert driver.worker_ready().assigned == ["b"]


def test_false_starts_are_counted_for_each_attempt() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=2, backoff_seconds=0.0)
    for _ in range(4):
        driver.worker_exits(-9, has_begun=False)
        driver.worker_ready()
    driver.raises("a")
    for _ in range(4):
        assert driver.worker_exits(-9, has_begun=False).states == [("a", QUEUED)]
        driver.worker_ready()
    assert driver.returns("a").states == [("a", COMPLETE)]


def test_queue_fails_at_the_ninth_failed_start_in_a_row() -> None:
    driver = Driver()
    driver.accept("a", "b", "c")
    driver.worker_exits(-9)
    for count in range(1, 9):
        done = driver.worker_exits(1, "no room")
        assert not done.states, count
        driver.advance(30)
    waiting = driver.hold("b", 60)
    done = driver.worker_exits(1, "no room")
    assert done.states == [("b", FAILED), ("c", FAILED)]
    assert waiting in done.callers
    error = driver.record("c").error
    assert error is not None
    assert error.kind is ErrorKind.WORKER_DIED
    assert "9 starts of a worker in a row have failed" in error.message
    assert "no room" in error.message
    driver.accept("d")
    assert driver.advance(30).starts_worker
    assert driver.worker_exits(1, "no room").states == [("d", FAILED)]
    driver.accept("e")
    assert driver.advance(30).starts_worker
    assert driver.worker_ready().assigned == ["e"]


def test_long_queue_without_a_worker_fails_in_slices() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    names = [f"n-{n}" for n in range(2 * SLICE + 1)]
    driver.accept(*names)
    for _ in range(8):
        driver.worker_exits(1)
        driver.advance(30)
    rounds = [driver.worker_exits(1)]
    while driver.scheduler.next_deadline == driver.now.monotonic:
        rounds.append(driver.advance(0))
    assert [len(done.states) for done in rounds] == [SLICE, SLICE, 1]
    assert driver.engine.queued_count == 0


def test_reason_of_a_failed_start_is_kept_until_a_worker_is_ready() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    assert driver.scheduler.worker_error is None
    driver.worker_exits(1, "Traceback\n" + "x" * 10_000 + "\nOSError: no room")
    error = driver.scheduler.worker_error
    assert error is not None
    assert error.startswith("the worker did not get ready: it ended with exit code 1\nTraceback")
    assert error.endswith("OSError: no room")
    assert len(error) == 2000
    driver.advance(30)
    driver.worker_ready()
    assert driver.scheduler.worker_error is None


def test_false_starts_are_not_counted_for_a_new_execution_of_the_same_id() -> None:
    driver = Driver(history_limit=0)
    driver.accept("a")
    for _ in range(4):
        driver.worker_exits(-9, has_begun=False)
        driver.worker_ready()
    driver.returns("a")
    driver.accept("a")
    driver.worker_exits(-9, has_begun=False)
    assert driver.worker_ready().assigned == ["a"]
