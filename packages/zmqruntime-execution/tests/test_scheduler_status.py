"""Status requests: records, long polls, further records in one reply."""

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


def test_record_has_all_fields_of_the_execution() -> None:
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


def test_long_poll_for_an_unknown_execution_is_rejected_immediately() -> None:
    rejection = Driver().status("unknown", wait_seconds=60).error_reply
    assert rejection.code is ErrorCode.UNKNOWN_EXECUTION


def test_long_poll_for_an_ended_execution_ends_immediately() -> None:
    driver = Driver()
    driver.accept("a")
    driver.returns("a", b"1")
    reply = driver.status("a", wait_seconds=60).reply(ExecutionStatusSnapshot)
    assert reply.execution is not None
    assert reply.execution.result == 1


@pytest.mark.parametrize("end", ["returns", "raises"])
def test_long_polls_end_with_their_execution(end: str) -> None:
    driver = Driver()
    driver.accept("a")
    one, two = driver.hold("a", 10), driver.hold("a", 20)
    done = getattr(driver, end)("a")
    assert done.callers == [one, two]
    for reply in done.replies:
        assert isinstance(reply, ExecutionStatusSnapshot)
        assert reply.execution is not None
        assert reply.execution.status.is_terminal
        assert reply.execution.finished_at == START.wall
    assert driver.scheduler.next_deadline is None


def test_long_poll_for_another_execution_stays_held() -> None:
    driver = Driver()
    driver.accept("a", "b")
    waiting = driver.hold("b", 10)
    assert driver.returns("a").callers == []
    assert driver.returns("b").callers == [waiting]


def test_long_poll_that_times_out_sends_the_present_record() -> None:
    driver = Driver()
    driver.accept("a", "b")
    waiting = driver.hold("b", 10)
    assert driver.scheduler.next_deadline == START.monotonic + 10
    assert not driver.advance(9.9).effects
    done = driver.advance(0.1)
    assert done.callers == [waiting]
    reply = done.reply(ExecutionStatusSnapshot)
    assert reply.execution is not None
    assert (reply.execution.status, reply.execution.queue_position) == (QUEUED, 1)


def test_long_poll_that_has_timed_out_gets_no_second_reply() -> None:
    driver = Driver()
    driver.accept("a")
    driver.hold("a", 10)
    driver.advance(10)
    assert driver.returns("a").callers == []


def test_each_long_poll_has_its_own_time_limit() -> None:
    driver = Driver()
    driver.accept("a")
    late, early = driver.hold("a", 20), driver.hold("a", 10)
    assert driver.advance(10).callers == [early]
    assert driver.advance(10).callers == [late]


def test_long_polls_that_are_due_together_end_in_the_order_of_their_deadlines() -> None:
    driver = Driver()
    driver.accept("a")
    polls = [driver.hold("a", n) for n in (1, 2, 3)]
    assert driver.advance(60).callers == polls


def test_cancel_of_a_queued_execution_ends_its_long_polls() -> None:
    driver = Driver()
    driver.accept("a", "b")
    waiting = driver.hold("b", 10)
    done = driver.cancel("b")
    assert waiting in done.callers
    assert len(done.callers) == 2


def test_long_poll_gets_its_record_without_a_history() -> None:
    driver = Driver(history_limit=0)
    driver.accept("a")
    waiting = driver.hold("a", 10)
    done = driver.returns("a", b"1")
    assert done.callers == [waiting]
    reply = done.reply(ExecutionStatusSnapshot)
    assert reply.execution is not None
    assert reply.execution.result == 1


def test_end_of_the_server_ends_all_long_polls() -> None:
    driver = Driver(ready=False)
    driver.accept("a", "b")
    waiting = [driver.hold("b", 60), driver.hold("a", 60)]
    done = driver.shut_down(ShutdownMode.NOW)
    assert sorted(done.callers) == sorted(waiting)
    assert done.exits


def test_status_of_the_whole_server_is_never_held() -> None:
    assert Driver().status(wait_seconds=60).reply(ExecutionStatusSnapshot).execution is None


def test_reply_about_an_ended_execution_has_further_final_records_in_the_requested_order() -> None:
    driver = Driver()
    driver.accept("a", "b", "c", "running", "queued")
    for name in ("a", "b", "c"):
        driver.returns(name, b'"%b"' % name.encode())
    done = driver.status("a", also=("c", "unknown", "running", "b", "queued"))
    reply = done.reply(ExecutionStatusSnapshot)
    assert reply.execution is not None
    assert reply.execution.result == "a"
    assert [record.result for record in reply.also] == ["c", "b"]
    assert reply.also == (driver.record("c"), driver.record("b"))


def test_held_reply_has_the_further_records_that_are_final_when_it_is_sent() -> None:
    driver = Driver()
    driver.accept("a", "b", "c")
    assert not driver.status("b", wait_seconds=60, also=("a", "c")).effects
    driver.returns("a", b"1")
    reply = driver.returns("b", b"2").reply(ExecutionStatusSnapshot)
    assert [record.execution_id for record in reply.also] == ["a"]


@pytest.mark.parametrize("seconds", [0.0, 10.0])
def test_reply_about_a_running_execution_has_no_further_records(seconds: float) -> None:
    driver = Driver()
    driver.accept("a", "b")
    driver.returns("a")
    done = driver.status("b", wait_seconds=seconds, also=("a",))
    if seconds:
        done = driver.advance(seconds)
    assert done.reply(ExecutionStatusSnapshot).also == ()


def test_further_records_of_one_reply_are_at_most_64_kib() -> None:
    driver = Driver()
    names = [f"e{number}" for number in range(9)]
    driver.accept(*names)
    for name in names:
        driver.returns(name, b'"%b"' % (b"x" * 10_000))
    (effect,) = driver.status("e0", also=tuple(names[1:])).of(Reply)
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
    reply = driver.status("a", also=("large", "b")).reply(ExecutionStatusSnapshot)
    assert reply.also == ()


def test_ids_of_further_executions_count_as_held_bytes() -> None:
    names = tuple(f"{number:064}" for number in range(64))
    plain, full = (PendingReply("a", caller(), compose_snapshot, also) for also in ((), names))
    held = PendingReplies()
    assert held.add(plain)
    assert held.add(full)
    assert full.cost - plain.cost >= 64 * 64
