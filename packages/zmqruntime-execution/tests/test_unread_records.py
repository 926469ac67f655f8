"""Long records and held replies: their cost is bounded for any number of requests."""

from __future__ import annotations

import pytest
from driving import Driver, rounds

from zmqruntime.execution.core.effects import LargeReply, Reply
from zmqruntime.messages import (
    AcceptedReply,
    ErrorCode,
    ErrorReply,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    decode_reply,
)

LONG = b'"%b"' % (b"x" * 70_000)


def test_long_record_is_composed_when_its_reply_is_sent() -> None:
    driver = Driver()
    driver.accept("a")
    held = [driver.hold("a", 10) for _ in range(3)]
    done = driver.returns("a", LONG)
    assert done.of(Reply) == []
    replies = done.of(LargeReply)
    assert [reply.caller for reply in replies] == held
    for reply in replies:
        snapshot = decode_reply(reply.compose())
        assert isinstance(snapshot, ExecutionStatusSnapshot)
        assert snapshot.request_id == reply.caller.request_id
        assert snapshot.execution is not None
        assert snapshot.execution.status is ExecutionStatus.COMPLETE
        assert snapshot.execution.result == "x" * 70_000
    assert driver.scheduler.next_deadline is None


def test_long_record_that_is_evicted_before_its_reply_is_sent_is_rejected_as_busy() -> None:
    driver = Driver(history_limit=1)
    driver.accept("a")
    driver.returns("a", LONG)
    driver.status("a").of(LargeReply)[0].compose()
    (reply,) = driver.status("a").of(LargeReply)
    driver.accept("b")
    driver.returns("b")
    driver.status("b")
    error_reply = decode_reply(reply.compose())
    assert isinstance(error_reply, ErrorReply)
    assert (error_reply.code, error_reply.request_id) == (ErrorCode.BUSY, reply.caller.request_id)


def test_duplicate_without_a_wait_gets_a_short_reply() -> None:
    driver = Driver()
    driver.accept("a")
    driver.returns("a", LONG)
    reply = driver.submit("a").reply(AcceptedReply)
    assert reply.duplicate
    assert reply.execution is None


@pytest.fixture
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqruntime.transport.server.held_replies._PER_PEER_BYTES", 3300)


@pytest.mark.usefixtures("small_bound")
def test_long_poll_beyond_the_bound_is_rejected_and_its_task_not_accepted() -> None:
    driver = Driver()
    driver.accept("a")
    held = [driver.hold("a", 10) for _ in range(3)]
    assert driver.status("a", wait_seconds=10).error_reply.code is ErrorCode.BUSY
    assert driver.submit("b", wait_seconds=10.0).error_reply.code is ErrorCode.BUSY
    assert driver.status("b").error_reply.code is ErrorCode.UNKNOWN_EXECUTION
    driver.accept("c")
    driver.status("a").reply(ExecutionStatusSnapshot)

    assert driver.advance(10).callers == held
    assert driver.scheduler.next_deadline is None
    again = [driver.hold("a", 10) for _ in range(3)]
    assert driver.returns("a").callers == again, "their room was not released"
    assert [driver.hold("c", 10) for _ in range(3)]


def test_held_replies_that_expire_together_are_removed_in_order() -> None:
    driver = Driver()
    driver.accept("a")
    held = [driver.hold("a", 1 + number / 1000) for number in range(10_000)]
    done = list(rounds(driver, driver.advance(60)))
    assert [caller for each in done for caller in each.callers] == held
    assert driver.scheduler.next_deadline is None
