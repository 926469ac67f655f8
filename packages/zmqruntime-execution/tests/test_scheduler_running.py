"""A running task: progress, result, exception, time limit."""

from __future__ import annotations

import pytest
from driving import START, Driver, error

from zmqruntime.execution.core.effects import AssignTask, Publish, Reply
from zmqruntime.execution.lifecycle.events import compose_event
from zmqruntime.messages import (
    AcceptedReply,
    ErrorKind,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    ProgressEvent,
    StateEvent,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


def test_progress_is_published_and_the_latest_report_kept() -> None:
    driver = Driver()
    driver.accept("a")
    driver.progress("a", b'{"completed":1,"total":4}')
    driver.advance(1)
    (event,) = driver.progress("a", b'{"completed":2,"total":4,"phase":"x"}').events
    assert event == ProgressEvent(
        execution_id="a",
        sequence=4,
        timestamp=START.wall + 1,
        completed=2,
        total=4,
        phase="x",
    )
    assert driver.record("a").progress == event
    page = driver.status().reply(ExecutionStatusSnapshot)
    assert page.running_executions[0].progress == event


def test_sequence_has_no_gap_over_states_and_progress() -> None:
    driver = Driver()
    events = driver.submit("a").events
    for _ in range(3):
        events += driver.progress("a").events
    events += driver.returns("a").events
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]


def test_progress_of_an_execution_that_is_not_running_is_dropped() -> None:
    driver = Driver()
    driver.accept("a", "b")
    assert not driver.progress("b").effects  # queued
    driver.returns("a")
    assert not driver.progress("a").effects  # ended, and left a process behind
    assert not driver.progress("unknown").effects
    assert driver.record("a").progress is None


def test_result_is_kept_as_it_was_received() -> None:
    driver = Driver()
    driver.accept("a")
    done = driver.returns("a", b'{"list":[1,null,"x"]}')
    assert done.states == [("a", COMPLETE)]
    record = driver.record("a")
    assert record.result == {"list": [1, None, "x"]}
    assert record.error is None


def test_result_is_in_the_record_and_never_in_an_event() -> None:
    driver = Driver()
    driver.accept("a")
    (published,) = driver.returns("a", b'"SECRET"').of(Publish)
    assert b"SECRET" not in compose_event(published.execution_id, published.events[0])


def test_exception_fails_its_execution_and_the_next_one_runs() -> None:
    driver = Driver()
    driver.accept("a", "b")
    done = driver.raises("a", "no such file")
    assert done.states == [("a", FAILED), ("b", RUNNING)]
    failed = done.events[0]
    assert isinstance(failed, StateEvent)
    assert failed.error == error("no such file")
    assert driver.record("a").error == error("no such file")
    assert driver.record("a").result is None
    assert done.assigned == ["b"]


@pytest.mark.parametrize("end", ["returns", "raises", "stops"])
def test_end_of_an_execution_that_is_not_running_is_ignored(end: str) -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.returns("a")
    for stale in ("a", "unknown"):
        assert not getattr(driver, end)(stale).effects
    assert driver.scheduler.slots[0].execution_id == "b"


def test_task_beyond_its_time_limit_is_interrupted_and_fails() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=5.0)
    driver.accept("b")
    assert driver.scheduler.next_deadline == START.monotonic + 5
    assert not driver.advance(4.9).effects
    assert driver.advance(0.1).interrupted == ["a"]
    done = driver.stops("a")
    assert done.states == [("a", FAILED), ("b", RUNNING)]
    reason = driver.record("a").error
    assert reason is not None
    assert (reason.kind, reason.message) == (ErrorKind.TIMEOUT, "the task ran longer than 5 s")


def test_time_limit_counts_from_the_start_of_the_run() -> None:
    driver = Driver()
    driver.accept("a")
    driver.accept("b", timeout_seconds=5.0)
    assert not driver.advance(100).effects
    driver.returns("a")
    assert not driver.advance(4.9).effects
    assert driver.advance(0.1).interrupted == ["b"]


def test_task_that_ends_in_time_leaves_no_deadline() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=5.0)
    driver.returns("a")
    assert driver.scheduler.next_deadline is None
    driver.accept("b")
    assert not driver.advance(10).effects


def test_task_that_returns_before_the_interrupt_of_its_timeout_is_complete() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=5.0)
    driver.advance(5)
    assert driver.returns("a", b"7").states == [("a", COMPLETE)]
    assert driver.record("a").result == 7


def test_worker_of_a_task_that_ignores_its_timeout_is_killed() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a", timeout_seconds=5.0)
    driver.accept("b")
    driver.advance(5)
    assert not driver.advance(1.9).kills
    assert driver.advance(0.1).kills
    done = driver.worker_exits(-9)
    assert done.states == [("a", FAILED)]
    reason = driver.record("a").error
    assert reason is not None
    assert reason.kind is ErrorKind.TIMEOUT
    assert done.starts_worker
    assert driver.worker_ready().assigned == ["b"]


def test_reason_of_an_interrupt_does_not_carry_over_to_the_next_execution() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=5.0)
    driver.accept("b")
    driver.advance(5)
    driver.stops("a")
    driver.worker_exits(3)
    reason = driver.record("b").error
    assert reason is not None
    assert reason.kind is ErrorKind.WORKER_DIED


@pytest.mark.parametrize("wait", [0.0, 60.0])
def test_reply_to_a_submit_precedes_its_task_unless_it_is_held(wait: float) -> None:
    done = Driver().submit("a", wait_seconds=wait)
    kinds = [type(effect) for effect in done.effects if isinstance(effect, (AssignTask, Reply))]
    assert kinds == ([AssignTask] if wait else [Reply, AssignTask])
    if not wait:
        assert done.reply(AcceptedReply).queue_position is None  # It runs already.
