"""Cancel: it ends exactly one execution, and the others run."""

from __future__ import annotations

import pytest
from driving import START, Driver

from zmqruntime.messages import ErrorCode, ExecutionStatus, ExecutionStatusSnapshot, OkReply

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


def test_cancel_of_a_queued_execution_is_immediate_and_affects_no_other() -> None:
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


def test_cancel_of_a_running_execution_interrupts_its_task() -> None:
    driver = Driver()
    driver.accept("a", "b")
    done = driver.cancel("a")
    assert done.reply(OkReply).execution_status is RUNNING
    assert done.interrupted == ["a"]
    assert not done.events
    running = driver.status().reply(ExecutionStatusSnapshot).running_executions
    assert [info.cancel_requested for info in running] == [True]
    done = driver.stops("a")
    assert done.states == [("a", CANCELLED), ("b", RUNNING)]
    assert done.assigned == ["b"]
    assert driver.record("a").error is None


def test_second_cancel_neither_interrupts_again_nor_extends_the_grace_period() -> None:
    driver = Driver()
    driver.accept("a")
    driver.cancel("a")
    driver.advance(1)
    deadline = driver.scheduler.next_deadline
    done = driver.cancel("a")
    assert done.interrupted == []
    assert done.reply(OkReply).execution_status is RUNNING
    assert driver.scheduler.next_deadline == deadline


def test_cancel_of_a_cancelled_execution_is_idempotent() -> None:
    driver = Driver()
    driver.accept("a", "b")
    for _ in range(2):
        done = driver.cancel("b")
        assert done.reply(OkReply).execution_status is CANCELLED
    assert not done.events


@pytest.mark.parametrize(("end", "status"), [("returns", "complete"), ("raises", "failed")])
def test_cancel_of_an_ended_execution_is_a_conflict(end: str, status: str) -> None:
    driver = Driver()
    driver.accept("a")
    getattr(driver, end)("a")
    done = driver.cancel("a")
    assert done.error_reply.code is ErrorCode.CONFLICT
    assert f"has ended already ({status})" in done.error_reply.message
    assert driver.record("a").status == status


def test_cancel_of_an_unknown_execution_is_rejected() -> None:
    rejection = Driver().cancel("unknown").error_reply
    assert rejection.code is ErrorCode.UNKNOWN_EXECUTION
    assert "no execution unknown is kept here" in rejection.message


def test_task_that_returned_before_the_interrupt_is_complete() -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.cancel("a")
    assert driver.returns("a", b"1").states == [("a", COMPLETE), ("b", RUNNING)]
    assert driver.record("a").result == 1


def test_task_that_raised_before_the_interrupt_is_failed() -> None:
    driver = Driver()
    driver.accept("a")
    driver.cancel("a")
    assert driver.raises("a").states == [("a", FAILED)]


def test_worker_of_an_interrupted_task_is_killed_after_the_grace_period() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a", "b")
    driver.cancel("a")
    assert not driver.advance(1.9).effects
    assert driver.advance(0.1).kills
    done = driver.worker_exits(-9)
    assert done.states == [("a", CANCELLED)]
    assert done.starts_worker
    assert driver.worker_ready().assigned == ["b"]


def test_worker_is_killed_only_once() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a")
    driver.cancel("a")
    driver.advance(2)
    assert driver.scheduler.next_deadline is None
    assert not driver.advance(100).effects


def test_task_that_stops_in_time_disarms_the_kill() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a", "b")
    driver.cancel("a")
    driver.stops("a")
    assert driver.scheduler.next_deadline is None
    assert not driver.advance(10).effects
    assert driver.scheduler.slots[0].execution_id == "b"


@pytest.mark.parametrize("last_message", ["stops", "returns", "raises"])
def test_worker_that_is_being_killed_gets_no_further_task(last_message: str) -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a", "b")
    driver.cancel("a")
    driver.advance(2)
    # Its last message was in transit when it was killed.
    done = getattr(driver, last_message)("a")
    assert done.states[0][0] == "a"
    assert done.assigned == []
    assert not driver.scheduler.ready
    assert driver.worker_exits(-9).starts_worker
    assert driver.record("b").status is QUEUED
    assert driver.worker_ready().assigned == ["b"]


def test_worker_that_dies_of_the_interrupt_ends_its_execution_cancelled() -> None:
    driver = Driver()
    driver.accept("a")
    driver.cancel("a")
    assert driver.worker_exits(1).states == [("a", CANCELLED)]


def test_cancel_overrides_a_timeout_under_way() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=5.0)
    driver.advance(5)
    assert driver.cancelled("a") is RUNNING
    assert driver.stops("a").states == [("a", CANCELLED)]


def test_execution_that_is_being_cancelled_does_not_time_out() -> None:
    driver = Driver(cancel_grace_seconds=100.0)
    driver.accept("a", timeout_seconds=5.0)
    driver.cancel("a")
    assert driver.advance(5).interrupted == []
    assert driver.stops("a").states == [("a", CANCELLED)]
