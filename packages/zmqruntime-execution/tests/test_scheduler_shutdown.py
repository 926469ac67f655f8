"""A server ends when it has kept its promises, or has told each that is broken."""

from __future__ import annotations

from driving import Driver

from zmqruntime.execution.core.effects import Exit
from zmqruntime.messages import (
    AcceptedReply,
    ErrorCode,
    ErrorKind,
    ExecutionStatus,
    OkReply,
    ShutdownMode,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus
DRAIN, NOW = ShutdownMode.DRAIN, ShutdownMode.NOW


def test_with_nothing_to_do_it_ends_at_once_either_way() -> None:
    for mode in ShutdownMode:
        driver = Driver()
        assert driver.shut_down(mode).effects == [Exit()]
        assert not driver.scheduler.ready


def test_it_ends_before_its_worker_is_there() -> None:
    assert Driver(ready=False).shut_down(DRAIN).effects == [Exit()]


def test_a_drain_finishes_what_was_accepted_and_takes_no_more() -> None:
    driver = Driver()
    driver.accept("a", "b")
    assert not driver.shut_down(DRAIN).effects
    assert not driver.scheduler.ready
    assert driver.refuse("c").code is ErrorCode.SHUTTING_DOWN
    done = driver.returns("a")
    assert done.assigned == ["b"]
    assert not done.exits
    done = driver.returns("b")
    assert done.states == [("b", COMPLETE)]
    assert done.effects[-1] == Exit()


def test_a_drain_answers_a_retry_as_before() -> None:
    driver = Driver()
    driver.accept("a")
    driver.shut_down(DRAIN)
    assert driver.submit("a").reply(AcceptedReply).duplicate


def test_a_drain_can_be_shortened_by_cancels() -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.shut_down(DRAIN)
    assert driver.cancel("b").reply(OkReply).execution_status is CANCELLED
    driver.cancel("a")
    assert driver.stops("a").effects[-1] == Exit()


def test_the_last_cancel_of_a_drain_ends_it() -> None:
    driver = Driver(ready=False)
    driver.accept("a")
    driver.shut_down(DRAIN)
    assert driver.cancel("a").effects[-1] == Exit()


def test_now_cancels_what_waits_and_interrupts_what_runs() -> None:
    driver = Driver()
    driver.accept("a", "b", "c")
    done = driver.shut_down(NOW)
    assert done.states == [("b", CANCELLED), ("c", CANCELLED)]
    assert done.interrupted == ["a"]
    assert not done.exits
    reason = driver.record("b").error
    assert reason is not None
    assert reason.kind is ErrorKind.INTERRUPTED
    done = driver.stops("a")
    assert done.states == [("a", FAILED)]
    assert done.effects[-1] == Exit()
    reason = driver.record("a").error
    assert reason is not None
    assert (reason.kind, reason.message) == (
        ErrorKind.INTERRUPTED,
        "the server was shut down while it ran",
    )


def test_now_lets_a_task_that_is_quicker_complete() -> None:
    driver = Driver()
    driver.accept("a")
    driver.shut_down(NOW)
    done = driver.returns("a", b"1")
    assert done.states == [("a", COMPLETE)]
    assert done.exits


def test_now_ends_a_task_that_does_not_stop_after_the_grace() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a")
    driver.shut_down(NOW)
    assert driver.advance(2).kills
    done = driver.worker_exits(-9)
    assert done.states == [("a", FAILED)]
    assert done.exits
    assert not done.starts_worker


def test_forced_waits_for_nothing() -> None:
    driver = Driver()
    driver.accept("a", "b")
    waiting = driver.hold("a", 60)
    done = driver.shut_down(NOW, forced=True)
    assert done.kills
    assert sorted(done.states) == [("a", FAILED), ("b", CANCELLED)]
    assert done.answered == [waiting]
    assert done.effects[-1] == Exit()
    assert len(done.of(Exit)) == 1


def test_now_after_drain_is_now() -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.shut_down(DRAIN)
    assert driver.shut_down(NOW).states == [("b", CANCELLED)]
    assert driver.stops("a").exits


def test_drain_after_now_changes_nothing() -> None:
    driver = Driver()
    driver.accept("a")
    driver.shut_down(NOW)
    assert not driver.shut_down(DRAIN).effects
    assert driver.stops("a").states == [("a", FAILED)]


def test_asked_twice_the_task_is_told_once() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a")
    driver.shut_down(NOW)
    driver.advance(1)
    assert driver.shut_down(NOW).interrupted == []
    assert driver.advance(1).kills


def test_what_was_being_cancelled_is_cancelled_and_not_failed() -> None:
    driver = Driver()
    driver.accept("a")
    driver.cancel("a")
    assert driver.shut_down(NOW).interrupted == []
    assert driver.stops("a").states == [("a", CANCELLED)]


def test_what_was_timing_out_has_timed_out() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=1.0)
    driver.advance(1)
    done = driver.shut_down(NOW, forced=True)
    assert done.states == [("a", FAILED)]
    reason = driver.record("a").error
    assert reason is not None
    assert reason.kind is ErrorKind.TIMEOUT


def test_a_worker_that_dies_during_now_ends_the_server() -> None:
    driver = Driver()
    driver.accept("a")
    driver.shut_down(NOW)
    done = driver.worker_exits(-9)
    assert done.states == [("a", FAILED)]
    assert done.exits
