"""Results and errors of ended executions."""

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
def check_result_is_the_return_value(peer: Peer, value: Any) -> None:
    record = peer.await_end(peer.submit("echo", value=value))
    assert record["status"] == "complete"
    result = record["result"]
    assert repr(result) == repr(value), f"the result of {value!r} is {result!r}"


@checks("C-118")
def check_only_complete_executions_have_a_result(
    counted: ExecutionTrace, failed: ExecutionTrace, cancelled: ExecutionTrace, busy: BusyServer
) -> None:
    assert counted.record["result"] == 3
    for record in (failed.record, cancelled.record, busy.queued_record, busy.running_record):
        assert record["result"] is None


@checks("C-119")
def check_only_failed_executions_have_an_error(
    counted: ExecutionTrace, failed: ExecutionTrace, cancelled: ExecutionTrace
) -> None:
    assert failed.record["status"] == "failed"
    assert failed.record["error"]["kind"] == "exception"
    assert counted.record["error"] is None
    assert cancelled.record["error"] is None, "a requested cancel is not an error"


@checks("C-124", "C-125")
def check_failed_task_has_no_exit_code_or_signal(failed: ExecutionTrace) -> None:
    for name in ("exit_code", "signal"):
        assert failed.record["error"][name] is None


@checks("C-121")
def check_failure_has_the_message_of_the_task(failed: ExecutionTrace) -> None:
    assert REASON in failed.record["error"]["message"]


def nested(depth: int) -> Any:
    """Return nested arrays of this depth."""
    value: Any = "innermost"
    for _ in range(depth):
        value = [value]
    return value


@checks("C-126")
def check_result_at_the_nesting_limit_is_accepted(peer: Peer) -> None:
    record = peer.await_end(peer.submit("echo", value=nested(NEST_DEPTH)))
    assert record["status"] == "complete"
    assert record["result"] == nested(NEST_DEPTH)


@checks("C-127")
def check_result_beyond_the_nesting_limit_fails(peer: Peer) -> None:
    task = {"do": "echo", "value": nested(NEST_DEPTH + 1)}
    reply = peer.request("execute", client_id=peer.name, task=task)
    if reply["type"] == "error":
        pytest.skip("the server rejects tasks at this nesting depth")
    record = peer.await_end(reply["execution_id"])
    assert record["status"] == "failed"
    assert record["error"]["kind"] == "unserializable_result"


@checks("C-128")
def check_result_beyond_the_size_limit_fails(peer: Peer) -> None:
    most = peer.expect_reply("pong", "ping")["max_message_bytes"]
    if most > 128 * 2**20:
        pytest.skip("the size limit of the server is too large to test")
    record = peer.await_end(peer.submit("echo", value="x" * (most - 16 * 1024)))
    assert record["status"] == "failed"
    assert record["error"]["kind"] == "result_too_large"
