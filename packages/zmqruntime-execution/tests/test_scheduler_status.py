"""A status that waits is answered once: at the end of the execution, or when its time is up."""

from __future__ import annotations

import pytest
from driving import START, Driver

from zmqruntime.messages import (
    ErrorCode,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    ShutdownMode,
)

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


def test_a_record_has_everything_that_is_known() -> None:
    driver = Driver()
    driver.accept("first")
    driver.accept("a", labels={"run": "7"}, client_id="desk")
    assert driver.record("a") == ExecutionRecord(
        execution_id="a",
        client_id="desk",
        status=QUEUED,
        labels={"run": "7"},
        submitted_at=START.wall,
        queue_position=1,
    )


def test_an_unknown_one_is_told_at_once_though_it_was_to_wait() -> None:
    refusal = Driver().ask("nobody", wait_seconds=60).refusal
    assert refusal.code is ErrorCode.UNKNOWN_EXECUTION


def test_one_that_has_ended_is_told_at_once_though_it_was_to_wait() -> None:
    driver = Driver()
    driver.accept("a")
    driver.returns("a", b"1")
    reply = driver.ask("a", wait_seconds=60).reply(ExecutionStatusSnapshot)
    assert reply.execution is not None
    assert reply.execution.result == 1


@pytest.mark.parametrize("end", ["returns", "raises"])
def test_who_waits_is_answered_the_moment_it_ends(end: str) -> None:
    driver = Driver()
    driver.accept("a")
    one, two = driver.hold("a", 10), driver.hold("a", 20)
    done = getattr(driver, end)("a")
    assert done.answered == [one, two]
    for reply in done.replies:
        assert isinstance(reply, ExecutionStatusSnapshot)
        assert reply.execution is not None
        assert reply.execution.status.is_terminal
        assert reply.execution.finished_at == START.wall
    assert driver.scheduler.next_deadline is None


def test_who_waits_for_another_goes_on_waiting() -> None:
    driver = Driver()
    driver.accept("a", "b")
    waiting = driver.hold("b", 10)
    assert driver.returns("a").answered == []
    assert driver.returns("b").answered == [waiting]


def test_when_the_time_is_up_the_record_is_told_as_it_is() -> None:
    driver = Driver()
    driver.accept("a", "b")
    waiting = driver.hold("b", 10)
    assert driver.scheduler.next_deadline == START.monotonic + 10
    assert not driver.advance(9.9).effects
    done = driver.advance(0.1)
    assert done.answered == [waiting]
    reply = done.reply(ExecutionStatusSnapshot)
    assert reply.execution is not None
    assert (reply.execution.status, reply.execution.queue_position) == (QUEUED, 1)


def test_who_was_answered_is_not_answered_again() -> None:
    driver = Driver()
    driver.accept("a")
    driver.hold("a", 10)
    driver.advance(10)
    assert driver.returns("a").answered == []


def test_each_waits_as_long_as_it_asked() -> None:
    driver = Driver()
    driver.accept("a")
    late, early = driver.hold("a", 20), driver.hold("a", 10)
    assert driver.advance(10).answered == [early]
    assert driver.advance(10).answered == [late]


def test_times_that_are_up_together_are_answered_together() -> None:
    driver = Driver()
    driver.accept("a")
    some = [driver.hold("a", n) for n in (1, 2, 3)]
    assert driver.advance(60).answered == some


def test_a_cancel_of_a_queued_one_answers_who_waits_and_who_asked() -> None:
    driver = Driver()
    driver.accept("a", "b")
    waiting = driver.hold("b", 10)
    done = driver.cancel("b")
    assert waiting in done.answered
    assert len(done.answered) == 2


def test_who_waits_is_answered_though_no_history_is_kept() -> None:
    driver = Driver(history_limit=0)
    driver.accept("a")
    waiting = driver.hold("a", 10)
    done = driver.returns("a", b"1")
    assert done.answered == [waiting]
    reply = done.reply(ExecutionStatusSnapshot)
    assert reply.execution is not None
    assert reply.execution.result == 1


def test_the_end_of_the_server_answers_who_waits() -> None:
    driver = Driver(ready=False)
    driver.accept("a", "b")
    waiting = [driver.hold("b", 60), driver.hold("a", 60)]
    done = driver.shut_down(ShutdownMode.NOW)
    assert sorted(done.answered) == sorted(waiting)
    assert done.exits


def test_the_wait_for_the_whole_server_is_none() -> None:
    assert Driver().ask(wait_seconds=60).reply(ExecutionStatusSnapshot).execution is None
