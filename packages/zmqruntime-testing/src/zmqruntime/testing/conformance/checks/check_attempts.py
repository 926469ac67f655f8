"""Priorities, retries and backoff."""

from __future__ import annotations

from typing import Any

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.scenarios import REASON, ExecutionTrace

checks = pytest.mark.checks

AGAIN = {"max_attempts": 2, "retry_on": ["exception"], "backoff_seconds": 0}


@checks("C-167")
@pytest.mark.parametrize("priority", [-1001, 1001, 0.5, "high", None], ids=repr)
def check_priority_out_of_range_is_rejected(peer: Peer, priority: Any) -> None:
    task = {"do": "echo", "value": 1}
    fields = {"client_id": peer.name, "task": task, "priority": priority}
    peer.expect_error("invalid_request", "execute", **fields)


@checks("C-168")
@pytest.mark.parametrize("max_attempts", [0, 21, 1.5, "2"], ids=repr)
def check_max_attempts_out_of_range_is_rejected(peer: Peer, max_attempts: Any) -> None:
    task = {"do": "echo", "value": 1}
    fields = {"client_id": peer.name, "task": task, "max_attempts": max_attempts}
    peer.expect_error("invalid_request", "execute", **fields)


@checks("C-169")
@pytest.mark.parametrize("retry_on", ["exception", [1], {"exception": True}], ids=repr)
def check_retry_on_is_an_array_of_kinds(peer: Peer, retry_on: Any) -> None:
    task = {"do": "echo", "value": 1}
    fields = {"client_id": peer.name, "task": task, "retry_on": retry_on}
    peer.expect_error("invalid_request", "execute", **fields)


@checks("C-170")
@pytest.mark.parametrize("seconds", [-1, 3601, "1"], ids=repr)
def check_backoff_out_of_range_is_rejected(peer: Peer, seconds: Any) -> None:
    task = {"do": "echo", "value": 1}
    fields = {"client_id": peer.name, "task": task, "backoff_seconds": seconds}
    peer.expect_error("invalid_request", "execute", **fields)


@checks("C-167", "C-174")
def check_higher_priority_runs_first(peer: Peer) -> None:
    (spinning, *_) = peer.fill_slots()
    low, usual, high, higher = (
        peer.submit("echo", value=priority, fields={"priority": priority})
        for priority in (-1000, 0, 1, 1000)
    )
    listed = peer.expect_reply("snapshot", "status")["queued_executions"]
    assert [entry["execution_id"] for entry in listed] == [higher, high, usual, low]
    peer.expect_reply("ok", "cancel", execution_id=spinning)
    started = [peer.await_end(each)["started_at"] for each in (higher, high, usual, low)]
    assert started == sorted(started), "executions did not start in queue order"


@checks("C-168", "C-169", "C-176", "C-183")
def check_failure_of_a_listed_kind_is_retried(failed_twice: ExecutionTrace) -> None:
    assert failed_twice.states == ["queued", "running", "queued", "running", "failed"]
    record = failed_twice.record
    assert record["attempt"] == 2
    assert [entry["attempt"] for entry in record["attempts"]] == [1]
    assert REASON in record["attempts"][0]["error"]["message"]


@checks("C-169", "C-176")
@pytest.mark.parametrize("change", [{"retry_on": ["timeout"]}, {"max_attempts": 1}], ids=str)
def check_other_kinds_and_the_last_attempt_are_not_retried(
    peer: Peer, change: dict[str, Any]
) -> None:
    record = peer.await_end(peer.submit("fail", message=REASON, fields=AGAIN | change))
    assert (record["status"], record["attempt"]) == ("failed", 1)
    assert record["attempts"] == []


@checks("C-170", "C-177", "C-182")
def check_retry_is_queued_last_until_its_backoff_expires(peer: Peer) -> None:
    peer.register()
    fails = peer.submit("fail", message=REASON, fields=AGAIN | {"backoff_seconds": 3600})
    peer.await_state(fails, "running")
    again = peer.await_state(fails, "queued")[-1].body
    waiting = peer.record(fails)
    assert (waiting["status"], waiting["attempt"]) == ("queued", 2)
    assert 3590 < waiting["retry_at"] - again["timestamp"] < 3610
    peer.fill_slots()
    later = peer.submit("echo", value="later")
    assert (peer.record(later)["queue_position"], peer.record(fails)["queue_position"]) == (1, 2)


@checks("C-178")
def check_cancelled_execution_is_not_retried(peer: Peer) -> None:
    peer.register()
    execution_id = peer.submit("spin", fields=AGAIN | {"retry_on": ["exception", "interrupted"]})
    peer.await_state(execution_id, "running")
    peer.expect_reply("ok", "cancel", execution_id=execution_id)
    record = peer.await_end(execution_id)
    assert (record["status"], record["attempt"], record["attempts"]) == ("cancelled", 1, [])
