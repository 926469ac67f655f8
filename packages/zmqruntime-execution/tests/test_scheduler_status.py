"""A status that waits is answered once: at the end of the execution, or when its time is up."""

from __future__ import annotations

import pytest
from driving import START, Driver, caller

from zmqruntime.execution.core.effects import Reply
from zmqruntime.execution.core.pending_replies import PendingReplies, PendingReply
from zmqruntime.execution.core.replies import compose_snapshot
from zmqruntime.messages import (
    ErrorCode,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    ShutdownMode,
    decode_reply,
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


def test_reply_on_an_ended_execution_has_further_final_records_in_the_order_of_their_names() -> (
    None
):
    driver = Driver()
    driver.accept("a", "b", "c", "running", "queued")
    for name in ("a", "b", "c"):
        driver.returns(name, b'"%b"' % name.encode())
    done = driver.ask("a", also=("c", "unknown", "running", "b", "queued"))
    reply = done.reply(ExecutionStatusSnapshot)
    assert reply.execution is not None
    assert reply.execution.result == "a"
    assert [record.result for record in reply.also] == ["c", "b"]
    assert reply.also == (driver.record("c"), driver.record("b"))


def test_held_reply_has_the_further_records_that_are_final_when_it_goes_out() -> None:
    driver = Driver()
    driver.accept("a", "b", "c")
    assert not driver.ask("b", wait_seconds=60, also=("a", "c")).effects
    driver.returns("a", b"1")
    reply = driver.returns("b", b"2").reply(ExecutionStatusSnapshot)
    assert [record.execution_id for record in reply.also] == ["a"]


@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_reply_on_an_execution_that_goes_on_has_no_further_records(seconds: float) -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.returns("a")
    asked = driver.ask("b", wait_seconds=seconds, also=("a",))
    done = driver.advance(seconds) if seconds else asked
    assert done.reply(ExecutionStatusSnapshot).also == ()


def test_further_records_of_one_reply_are_no_more_than_64_kib() -> None:
    driver = Driver()
    names = [f"e{number}" for number in range(9)]
    driver.accept(*names)
    for name in names:
        driver.returns(name, b'"%b"' % (b"x" * 10_000))
    (effect,) = driver.ask("e0", also=tuple(names[1:])).of(Reply)
    reply = decode_reply(effect.frame)
    assert isinstance(reply, ExecutionStatusSnapshot)
    assert [record.execution_id for record in reply.also] == names[1:7]
    assert len(effect.frame) < 10_000 + 64 * 1024 + 2000


def test_large_result_among_further_records_is_left_to_its_own_request() -> None:
    driver = Driver()
    driver.accept("a", "large", "b")
    driver.returns("a")
    driver.returns("large", b'"%b"' % (b"x" * 70_000))
    driver.returns("b")
    reply = driver.ask("a", also=("large", "b")).reply(ExecutionStatusSnapshot)
    assert reply.also == ()


def test_names_of_further_executions_count_as_held() -> None:
    names = tuple(f"{number:064}" for number in range(64))
    plain, full = (PendingReply("a", caller(), compose_snapshot, also) for also in ((), names))
    held = PendingReplies()
    assert held.add(plain)
    assert held.add(full)
    assert full.cost - plain.cost >= 64 * 64
