"""What a task has come to: its result, or why there is none."""

from __future__ import annotations

from typing import Any

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.scenarios import REASON, BusyServer, ExecutionTrace

checks = pytest.mark.checks

NEST_DEPTH = 190


@checks("C-118")
@pytest.mark.parametrize(
    "value", [None, True, 0, 5, 5.0, 2.5, "", "ä\U0001f600\n", [], {}, [1, {"a": [None]}]], ids=repr
)
def check_the_result_is_what_the_task_returned(peer: Peer, value: Any) -> None:
    record = peer.await_end(peer.submit("echo", value=value))
    assert record["status"] == "complete"
    result = record["result"]
    assert repr(result) == repr(value), f"{value!r} came back as {result!r}"


@checks("C-118")
def check_there_is_a_result_only_when_it_is_complete(
    counted: ExecutionTrace, failed: ExecutionTrace, stopped: ExecutionTrace, busy: BusyServer
) -> None:
    assert counted.record["result"] == 3
    for record in (failed.record, stopped.record, busy.queued_record, busy.running_record):
        assert record["result"] is None


@checks("C-119")
def check_an_error_tells_why_it_failed_and_nothing_else(
    counted: ExecutionTrace, failed: ExecutionTrace, stopped: ExecutionTrace
) -> None:
    assert failed.record["status"] == "failed"
    assert failed.record["error"]["kind"] == "exception"
    assert counted.record["error"] is None
    assert stopped.record["error"] is None, "somebody asked for that cancel"


@checks("C-124", "C-125")
def check_what_failed_by_itself_has_no_end_of_a_worker(failed: ExecutionTrace) -> None:
    for name in ("exit_code", "signal"):
        assert failed.record["error"][name] is None


@checks("C-121")
def check_the_message_of_a_failure_is_the_tasks(failed: ExecutionTrace) -> None:
    assert REASON in failed.record["error"]["message"]


def nested(depth: int) -> Any:
    """Return arrays in arrays, this deep."""
    value: Any = "innermost"
    for _ in range(depth):
        value = [value]
    return value


@checks("C-126")
def check_a_result_may_be_nested_deep(peer: Peer) -> None:
    record = peer.await_end(peer.submit("echo", value=nested(NEST_DEPTH)))
    assert record["status"] == "complete"
    assert record["result"] == nested(NEST_DEPTH)


@checks("C-127")
def check_a_result_that_is_nested_deeper_fails(peer: Peer) -> None:
    task = {"do": "echo", "value": nested(NEST_DEPTH + 1)}
    reply = peer.request("execute", client_id=peer.name, task=task)
    if reply["type"] == "error":
        pytest.skip("it takes no task that would return so deep a result")
    record = peer.await_end(reply["execution_id"])
    assert record["status"] == "failed"
    assert record["error"]["kind"] == "unserializable_result"


@checks("C-128")
def check_a_result_that_no_snapshot_can_carry_fails(peer: Peer) -> None:
    most = peer.expect_reply("pong", "ping")["max_message_bytes"]
    if most > 128 * 2**20:
        pytest.skip("it takes longer results than are worth sending")
    record = peer.await_end(peer.submit("echo", value="x" * (most - 16 * 1024)))
    assert record["status"] == "failed"
    assert record["error"]["kind"] == "result_too_large"
