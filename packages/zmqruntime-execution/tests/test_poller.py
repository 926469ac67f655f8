"""Status without a data channel: every change is told, to the last."""

from __future__ import annotations

import pytest
from asking import Script, record

from zmqruntime.execution import ExecutionStatusPoller, WaitPolicy
from zmqruntime.messages import ExecutionRecord, ExecutionStatus, ProgressEvent
from zmqruntime.transport import ServerLost

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


def at(n: int) -> ExecutionRecord:
    event = ProgressEvent(execution_id="a", sequence=n, timestamp=1.0, completed=n)
    return record(RUNNING, progress=event)


def test_each_change_is_told_once() -> None:
    told = [record(QUEUED), at(3), at(4), record(COMPLETE)]
    script = Script([told[0], told[0], told[1], told[1], told[1], told[2], told[3]])
    assert list(ExecutionStatusPoller(script).follow("a")) == told


def test_the_first_is_told_at_once_and_each_further_one_waited_for() -> None:
    script = Script([record(QUEUED), record(RUNNING), record(COMPLETE)])
    list(ExecutionStatusPoller(script, WaitPolicy(poll_interval=5.0)).follow("a"))
    assert script.asked == [("a", 0.0), ("a", 5.0), ("a", 5.0)]


def test_what_has_ended_is_asked_once() -> None:
    script = Script([record(CANCELLED)])
    assert list(ExecutionStatusPoller(script).follow("a")) == [record(CANCELLED)]


def test_it_stops_when_the_time_is_up() -> None:
    script = Script([record(RUNNING)])
    assert list(ExecutionStatusPoller(script).follow("a", timeout=0)) == [record(RUNNING)]


def test_no_request_is_held_beyond_the_time() -> None:
    script = Script([record(RUNNING), record(COMPLETE)])
    list(ExecutionStatusPoller(script).follow("a", timeout=2.0))
    assert script.asked[1][1] <= 2.0


def test_a_callback_gets_each_of_them() -> None:
    told: list[ExecutionRecord] = []
    ExecutionStatusPoller(Script([record(QUEUED), record(FAILED)])).run("a", told.append)
    assert told == [record(QUEUED), record(FAILED)]


def test_a_lost_server_is_raised() -> None:
    following = ExecutionStatusPoller(Script([record(QUEUED), ServerLost("gone")])).follow("a")
    assert next(following) == record(QUEUED)
    with pytest.raises(ServerLost):
        next(following)
