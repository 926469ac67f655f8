"""Shutdown: a server exits when each accepted execution has ended."""

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


def test_shutdown_of_an_idle_server_is_immediate_in_each_mode() -> None:
    for mode in ShutdownMode:
        driver = Driver()
        assert driver.shut_down(mode).effects == [Exit()]
        assert not driver.scheduler.ready


def test_shutdown_does_not_wait_for_the_first_worker() -> None:
    assert Driver(ready=False).shut_down(DRAIN).effects == [Exit()]


def test_drain_finishes_accepted_executions_and_rejects_new_ones() -> None:
    driver = Driver()
    driver.accept("a", "b")
    assert not driver.shut_down(DRAIN).effects
    assert not driver.scheduler.ready
    assert driver.reject("c").code is ErrorCode.SHUTTING_DOWN
    done = driver.returns("a")
    assert done.assigned == ["b"]
    assert not done.exits
    done = driver.returns("b")
    assert done.states == [("b", COMPLETE)]
    assert done.effects[-1] == Exit()


def test_drain_accepts_a_duplicate_submit() -> None:
    driver = Driver()
    driver.accept("a")
    driver.shut_down(DRAIN)
    assert driver.submit("a").reply(AcceptedReply).duplicate


def test_cancels_shorten_a_drain() -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.shut_down(DRAIN)
    assert driver.cancel("b").reply(OkReply).execution_status is CANCELLED
    driver.cancel("a")
    assert driver.stops("a").effects[-1] == Exit()


def test_last_cancel_of_a_drain_ends_the_server() -> None:
    driver = Driver(ready=False)
    driver.accept("a")
    driver.shut_down(DRAIN)
    assert driver.cancel("a").effects[-1] == Exit()


def test_immediate_shutdown_cancels_the_queue_and_interrupts_the_task() -> None:
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


def test_task_that_returns_before_the_interrupt_of_a_shutdown_is_complete() -> None:
    driver = Driver()
    driver.accept("a")
    driver.shut_down(NOW)
    done = driver.returns("a", b"1")
    assert done.states == [("a", COMPLETE)]
    assert done.exits


def test_immediate_shutdown_kills_the_worker_after_the_grace_period() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a")
    driver.shut_down(NOW)
    assert driver.advance(2).kills
    done = driver.worker_exits(-9)
    assert done.states == [("a", FAILED)]
    assert done.exits
    assert not done.starts_worker


def test_forced_shutdown_is_immediate() -> None:
    driver = Driver()
    driver.accept("a", "b")
    waiting = driver.hold("a", 60)
    done = driver.shut_down(NOW, forced=True)
    assert done.kills
    assert sorted(done.states) == [("a", FAILED), ("b", CANCELLED)]
    assert done.callers == [waiting]
    assert done.effects[-1] == Exit()
    assert len(done.of(Exit)) == 1


def test_immediate_shutdown_overrides_a_drain() -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.shut_down(DRAIN)
    assert driver.shut_down(NOW).states == [("b", CANCELLED)]
    assert driver.stops("a").exits


def test_drain_after_an_immediate_shutdown_changes_nothing() -> None:
    driver = Driver()
    driver.accept("a")
    driver.shut_down(NOW)
    assert not driver.shut_down(DRAIN).effects
    assert driver.stops("a").states == [("a", FAILED)]


def test_second_shutdown_neither_interrupts_again_nor_extends_the_grace_period() -> None:
    driver = Driver(cancel_grace_seconds=2.0)
    driver.accept("a")
    driver.shut_down(NOW)
    driver.advance(1)
    assert driver.shut_down(NOW).interrupted == []
    assert driver.advance(1).kills


def test_execution_being_cancelled_ends_cancelled_in_a_shutdown() -> None:
    driver = Driver()
    driver.accept("a")
    driver.cancel("a")
    assert driver.shut_down(NOW).interrupted == []
    assert driver.stops("a").states == [("a", CANCELLED)]


def test_execution_being_timed_out_ends_with_a_timeout_in_a_shutdown() -> None:
    driver = Driver()
    driver.accept("a", timeout_seconds=1.0)
    driver.advance(1)
    done = driver.shut_down(NOW, forced=True)
    assert done.states == [("a", FAILED)]
    reason = driver.record("a").error
    assert reason is not None
    assert reason.kind is ErrorKind.TIMEOUT


def test_worker_that_dies_during_an_immediate_shutdown_ends_the_server() -> None:
    driver = Driver()
    driver.accept("a")
    driver.shut_down(NOW)
    done = driver.worker_exits(-9)
    assert done.states == [("a", FAILED)]
    assert done.exits


def test_execution_that_was_not_begun_is_not_requeued_in_an_immediate_shutdown() -> None:
    driver = Driver()
    driver.accept("a")
    driver.shut_down(NOW)
    done = driver.worker_exits(-9, has_begun=False)
    assert done.states == [("a", FAILED)]
    assert done.exits


def test_drain_after_an_immediate_shutdown_does_not_allow_retries() -> None:
    driver = Driver()
    driver.accept("a", max_attempts=2, backoff_seconds=0.0)
    driver.shut_down(NOW)
    driver.shut_down(DRAIN)
    done = driver.raises("a")
    assert done.states == [("a", FAILED)]
    assert done.exits


def test_no_worker_is_restarted_after_the_exit() -> None:
    driver = Driver()
    driver.worker_exits(-9)
    driver.worker_exits(1)
    assert driver.shut_down(DRAIN).exits
    assert not driver.advance(30).effects
