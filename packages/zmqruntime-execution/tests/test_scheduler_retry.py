"""Retries: which errors are retried, and after which backoff."""

from __future__ import annotations

import pytest
from driving import Driver

from zmqruntime.execution import RestartPolicy, RetryPolicy
from zmqruntime.messages import (
    ErrorKind,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    OkReply,
    ShutdownMode,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


def test_failed_execution_is_not_retried_by_default() -> None:
    driver = Driver()
    driver.accept("a")
    assert driver.raises("a").states == [("a", FAILED)]


def test_failed_execution_runs_again_after_its_backoff() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=2, backoff_seconds=3.0)
    driver.advance(1.0)
    assert driver.raises("a", "first").states == [("a", QUEUED)]
    record = driver.record("a")
    assert (record.status, record.attempt, record.error) == (QUEUED, 2, None)
    assert record.retry_at == driver.now.wall + 3.0
    (attempt,) = record.attempts
    assert (attempt.attempt, attempt.error.message) == (1, "first")
    assert attempt.finished_at - attempt.started_at == 1.0
    assert driver.advance(2.9).assigned == []
    done = driver.advance(0.1)
    assert (done.assigned, done.states) == (["a"], [("a", RUNNING)])
    assert driver.raises("a", "second").states == [("a", FAILED)]
    record = driver.record("a")
    assert record.error is not None
    assert (record.error.message, record.attempt, len(record.attempts)) == ("second", 2, 1)


def test_backoff_doubles_up_to_an_hour() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=5, backoff_seconds=1000.0)
    delays = []
    for _ in range(4):
        driver.raises("a")
        deadline = driver.scheduler.next_deadline
        assert deadline is not None
        delays.append(deadline - driver.now.monotonic)
        driver.advance(delays[-1])
    assert delays == pytest.approx([1000.0, 2000.0, 3600.0, 3600.0])


@pytest.mark.parametrize("wait_seconds", [1.0, 3.0])
def test_long_poll_that_is_due_with_a_backoff_sees_the_next_attempt(wait_seconds: float) -> None:
    driver = Driver()
    driver.accept("a", max_attempts=2, backoff_seconds=3.0)
    driver.raises("a")
    driver.hold("a", wait_seconds)
    done = driver.advance(3.0)
    assert done.assigned == ["a"]
    execution = done.reply(ExecutionStatusSnapshot).execution
    assert execution is not None
    assert execution.status is RUNNING


def test_retry_without_a_backoff_is_immediate() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=2, backoff_seconds=0.0)
    driver.accept("b")
    done = driver.raises("a")
    assert done.assigned == ["a"]
    assert done.states == [("a", QUEUED), ("a", RUNNING)]


def test_other_executions_run_during_a_backoff() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=2, backoff_seconds=5.0)
    driver.accept("b")
    assert driver.raises("a").assigned == ["b"]
    driver.advance(5.0)
    driver.accept("c")
    assert driver.returns("b").assigned == ["a"]


@pytest.mark.parametrize(
    ("kinds", "again"),
    [(None, True), (("exception",), True), (("worker_died", "timeout"), False), ((), False)],
)
def test_retry_is_limited_to_the_named_kinds_of_error(kinds: object, again: bool) -> None:
    driver = Driver()
    named = None if kinds is None else tuple(map(ErrorKind, kinds))  # type: ignore[call-overload]
    driver.accept("a", max_attempts=2, retry_on=named)
    assert driver.raises("a").states == [("a", QUEUED if again else FAILED)]


def test_worker_death_and_timeout_are_retried_by_default() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=3, backoff_seconds=0.0, timeout_seconds=2.0)
    driver.worker_exits(-9)
    driver.worker_ready()
    driver.advance(2.0)
    driver.stops("a")
    kinds = [attempt.error.kind for attempt in driver.record("a").attempts]
    assert kinds == [ErrorKind.WORKER_DIED, ErrorKind.TIMEOUT]


def test_cancelled_execution_is_not_retried() -> None:
    driver = Driver()
    driver.accept("a", "b", max_attempts=3)
    driver.cancel("a")
    assert driver.stops("a").states[0] == ("a", CANCELLED)
    driver.raises("b")
    assert driver.cancelled("b") is CANCELLED
    assert driver.scheduler.next_deadline is None


def test_retry_policy_of_the_server_is_a_default() -> None:
    policy = RetryPolicy(2, frozenset({ErrorKind.EXCEPTION}), 0.0)
    driver = Driver(retry=policy)
    driver.accept("a")
    driver.accept("b", max_attempts=1)
    assert driver.raises("a").assigned == ["a"]
    assert driver.raises("a").states[0] == ("a", FAILED)
    assert driver.raises("b").states == [("b", FAILED)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"max_attempts": 0}, "max_attempts is 0: it has to be at least 1 and at most 20"),
        (
            {"backoff_seconds": -1.0},
            "-1.0: it has to be at least 0 and at most 3,600",
        ),
    ],
)
def test_retry_policy_out_of_range_is_rejected(fields: dict[str, float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        RetryPolicy(**fields)  # type: ignore[arg-type]


def test_long_poll_ends_with_the_last_attempt() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=2, backoff_seconds=1.0)
    waiting = driver.hold("a", 30.0)
    assert driver.raises("a").callers == []
    driver.advance(1.0)
    assert driver.returns("a").callers == [waiting]


def test_drain_waits_for_retries() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=2, backoff_seconds=1.0)
    driver.shut_down(ShutdownMode.DRAIN)
    assert not driver.raises("a").exits
    driver.advance(1.0)
    assert driver.returns("a").exits


def test_immediate_shutdown_retries_nothing() -> None:
    driver = Driver(on_restart=RestartPolicy.FAIL)
    driver.accept("waits", max_attempts=2, backoff_seconds=9.0)
    driver.raises("waits")
    driver.accept("runs", max_attempts=2, retry_on=tuple(ErrorKind))
    assert driver.shut_down(ShutdownMode.NOW).states == [("waits", CANCELLED)]
    done = driver.stops("runs")
    assert done.states == [("runs", FAILED)]
    assert done.exits


def test_record_with_many_long_errors_is_bounded() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=20, backoff_seconds=0.0)
    for _ in range(19):
        driver.raises("a", "x" * 16_000)
    record = driver.record("a")
    assert len(record.attempts) == 19
    assert len(record.model_dump_json()) < 64_000
    assert driver.cancel("a").reply(OkReply).execution_status is RUNNING
