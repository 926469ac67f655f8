"""What a running task tells, and how it ends."""

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


def test_progress_is_published_and_the_latest_kept() -> None:
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
    page = driver.ask().reply(ExecutionStatusSnapshot)
    assert page.running_executions[0].progress == event


def test_sequence_counts_over_states_and_progress_without_a_gap() -> None:
    driver = Driver()
    events = driver.submit("a").events
    for _ in range(3):
        events += driver.progress("a").events
    events += driver.returns("a").events
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]


def test_progress_of_what_does_not_run_is_dropped() -> None:
    driver = Driver()
    driver.accept("a", "b")
    assert not driver.progress("b").effects  # waits
    driver.returns("a")
    assert not driver.progress("a").effects  # has ended, but left a process behind
    assert not driver.progress("unknown").effects
    assert driver.record("a").progress is None


def test_a_result_is_kept_as_it_came() -> None:
    driver = Driver()
    driver.accept("a")
    done = driver.returns("a", b'{"list":[1,null,"x"]}')
    assert done.states == [("a", COMPLETE)]
    record = driver.record("a")
    assert record.result == {"list": [1, None, "x"]}
    assert record.error is None


def test_the_result_is_in_the_record_and_never_in_an_event() -> None:
    driver = Driver()
    driver.accept("a")
    (published,) = driver.returns("a", b'"SECRET"').of(Publish)
    assert b"SECRET" not in compose_event(published.execution_id, published.events[0])


def test_an_exception_fails_this_execution_and_the_next_one_runs() -> None:
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
def test_an_end_that_is_not_of_the_running_one_means_nothing(end: str) -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.returns("a")
    for stale in ("a", "unknown"):
        assert not getattr(driver, end)(stale).effects
    assert driver.scheduler.slots[0].execution_id == "b"


def test_a_task_that_takes_too_long_is_told_to_stop_and_fails() -> None:
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


def test_its_time_begins_when_it_runs() -> None:
    driver = Driver()
    driver.accept("a")
    driver.accept("b", timeout_seconds=5.0)
    assert not driver.advance(100).effects
    driver.returns("a")
    assert not driver.advance(4.9).effects
    assert driver.advance(0.1).interrupted == ["b"]


def test_what_ends_in_time_leaves_no_deadline() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=5.0)
    driver.returns("a")
    assert driver.scheduler.next_deadline is None
    driver.accept("b")
    assert not driver.advance(10).effects


def test_a_task_that_returns_after_its_time_but_before_it_saw_that_has_completed() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=5.0)
    driver.advance(5)
    assert driver.returns("a", b"7").states == [("a", COMPLETE)]
    assert driver.record("a").result == 7


def test_a_task_that_ignores_its_time_is_ended_with_its_worker() -> None:
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


def test_the_reason_of_one_stop_is_not_that_of_the_next_end() -> None:
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
def test_reply_to_a_submission_goes_out_before_its_task_unless_it_is_held(wait: float) -> None:
    done = Driver().submit("a", wait_seconds=wait)
    kinds = [type(effect) for effect in done.effects if isinstance(effect, (AssignTask, Reply))]
    assert kinds == ([AssignTask] if wait else [Reply, AssignTask])
    if not wait:
        assert done.reply(AcceptedReply).queue_position is None  # It runs, and waits no more.
