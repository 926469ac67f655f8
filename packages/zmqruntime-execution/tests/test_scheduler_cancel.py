"""A cancel stops exactly one execution; the queue behind it goes on."""

from __future__ import annotations

import pytest
from driving import START, Driver

from zmqruntime.messages import ErrorCode, ExecutionStatus, ExecutionStatusSnapshot, OkReply

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


def test_a_queued_one_is_cancelled_at_once_and_no_other() -> None:
    driver = Driver()
    driver.accept("a", "b", "c")
    done = driver.cancel("b")
    assert done.states == [("b", CANCELLED)]
    assert done.reply(OkReply).execution_status is CANCELLED
    assert done.interrupted == []
    assert driver.record("a").status is RUNNING
    assert driver.record("c").queue_position == 1
    record = driver.record("b")
    assert (record.started_at, record.finished_at) == (None, START.wall)
    assert driver.returns("a").assigned == ["c"]


def test_a_running_one_is_told_to_stop_and_is_cancelled_when_it_has() -> None:
    driver = Driver()
    driver.accept("a", "b")
    done = driver.cancel("a")
    assert done.reply(OkReply).execution_status is RUNNING
    assert done.interrupted == ["a"]
    assert not done.events
    running = driver.ask().reply(ExecutionStatusSnapshot).running_executions
    assert [info.cancel_requested for info in running] == [True]
    done = driver.stops("a")
    assert done.states == [("a", CANCELLED), ("b", RUNNING)]
    assert done.assigned == ["b"]
    assert driver.record("a").error is None


def test_asked_twice_it_is_told_once() -> None:
    driver = Driver()
    driver.accept("a")
    driver.cancel("a")
    driver.advance(1)
    deadline = driver.scheduler.next_deadline
    done = driver.cancel("a")
    assert done.interrupted == []
    assert done.reply(OkReply).execution_status is RUNNING
    assert driver.scheduler.next_deadline == deadline  # its grace is not longer for that


def test_a_cancelled_one_stays_so_however_often_it_is_asked() -> None:
    driver = Driver()
    driver.accept("a", "b")
    for _ in range(2):
        done = driver.cancel("b")
        assert done.reply(OkReply).execution_status is CANCELLED
    assert not done.events


@pytest.mark.parametrize(("end", "status"), [("returns", "complete"), ("raises", "failed")])
def test_what_has_ended_by_itself_cannot_be_cancelled(end: str, status: str) -> None:
    driver = Driver()
    driver.accept("a")
    getattr(driver, end)("a")
    done = driver.cancel("a")
    assert done.refusal.code is ErrorCode.CONFLICT
    assert f"has ended already ({status})" in done.refusal.message
    assert driver.record("a").status == status


def test_an_unknown_one_is_told_apart() -> None:
    refusal = Driver().cancel("nobody").refusal
    assert refusal.code is ErrorCode.UNKNOWN_EXECUTION
    assert "no execution nobody is kept here" in refusal.message


def test_a_task_that_returned_before_it_was_told_has_completed() -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.cancel("a")
    assert driver.returns("a", b"1").states == [("a", COMPLETE), ("b", RUNNING)]
    assert driver.record("a").result == 1


def test_a_task_that_failed_before_it_was_told_has_failed() -> None:
    driver = Driver()
    driver.accept("a")
    driver.cancel("a")
    assert driver.raises("a").states == [("a", FAILED)]


def test_a_task_that_does_not_stop_is_ended_with_its_worker_after_the_grace() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a", "b")
    driver.cancel("a")
    assert not driver.advance(1.9).effects
    assert driver.advance(0.1).kills
    done = driver.worker_exits(-9)
    assert done.states == [("a", CANCELLED)]
    assert done.starts_worker
    assert driver.worker_ready().assigned == ["b"]


def test_it_is_killed_once() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a")
    driver.cancel("a")
    driver.advance(2)
    assert driver.scheduler.next_deadline is None
    assert not driver.advance(100).effects


def test_stopping_in_time_disarms_the_kill() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a", "b")
    driver.cancel("a")
    driver.stops("a")
    assert driver.scheduler.next_deadline is None
    assert not driver.advance(10).effects
    assert driver.scheduler.slots[0].execution_id == "b"


@pytest.mark.parametrize("last_word", ["stops", "returns", "raises"])
def test_a_worker_that_is_being_ended_gets_no_further_task(last_word: str) -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a", "b")
    driver.cancel("a")
    driver.advance(2)
    # Its last word was under way when it was killed.
    done = getattr(driver, last_word)("a")
    assert done.states[0][0] == "a"
    assert done.assigned == []
    assert not driver.scheduler.ready
    assert driver.worker_exits(-9).starts_worker
    assert driver.record("b").status is QUEUED
    assert driver.worker_ready().assigned == ["b"]


def test_a_worker_that_dies_of_the_interrupt_has_stopped() -> None:
    driver = Driver()
    driver.accept("a")
    driver.cancel("a")
    assert driver.worker_exits(1).states == [("a", CANCELLED)]


def test_a_cancel_of_what_is_timing_out_is_a_cancel() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=5.0)
    driver.advance(5)
    assert driver.cancelled("a") is RUNNING
    assert driver.stops("a").states == [("a", CANCELLED)]


def test_what_is_being_cancelled_does_not_time_out() -> None:
    driver = Driver(cancel_grace_seconds=100.0)
    driver.accept("a", timeout_seconds=5.0)
    driver.cancel("a")
    assert driver.advance(5).interrupted == []
    assert driver.stops("a").states == [("a", CANCELLED)]
