"""`ExecutionStatusPoller`: every change of a record, up to the final one."""

from __future__ import annotations

import pytest
from scripted_status import Script, record

from zmqruntime.execution import ExecutionStatusPoller, WaitPolicy
from zmqruntime.messages import ExecutionRecord, ExecutionStatus, ProgressEvent
from zmqruntime.transport import ServerLost

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


def at(n: int) -> ExecutionRecord:
    event = ProgressEvent(execution_id="a", sequence=n, timestamp=1.0, completed=n)
    return record(RUNNING, progress=event)


def test_each_change_is_yielded_once() -> None:
    expected = [record(QUEUED), at(3), at(4), record(COMPLETE)]
    script = Script([expected[n] for n in (0, 0, 1, 1, 1, 2, 3)])
    assert list(ExecutionStatusPoller(script).follow("a")) == expected


def test_first_request_is_not_held_and_later_ones_are() -> None:
    script = Script([record(QUEUED), record(RUNNING), record(COMPLETE)])
    list(ExecutionStatusPoller(script, WaitPolicy(poll_interval=5.0)).follow("a"))
    assert script.requests == [("a", 0.0), ("a", 5.0), ("a", 5.0)]


def test_ended_execution_takes_one_request() -> None:
    script = Script([record(CANCELLED)])
    assert list(ExecutionStatusPoller(script).follow("a")) == [record(CANCELLED)]


def test_follow_stops_after_the_timeout() -> None:
    script = Script([record(RUNNING)])
    assert list(ExecutionStatusPoller(script).follow("a", timeout=0)) == [record(RUNNING)]


def test_hold_ends_with_the_timeout() -> None:
    script = Script([record(RUNNING), record(COMPLETE)])
    list(ExecutionStatusPoller(script).follow("a", timeout=2.0))
    assert script.requests[1][1] <= 2.0


def test_run_calls_back_with_each_record() -> None:
    expected: list[ExecutionRecord] = []
    ExecutionStatusPoller(Script([record(QUEUED), record(FAILED)])).run("a", expected.append)
    assert expected == [record(QUEUED), record(FAILED)]


def test_loss_of_the_server_is_raised() -> None:
    following = ExecutionStatusPoller(Script([record(QUEUED), ServerLost("gone")])).follow("a")
    assert next(following) == record(QUEUED)
    with pytest.raises(ServerLost):
        next(following)
