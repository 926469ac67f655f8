"""Cancelling queued, running and ended executions."""

from __future__ import annotations

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.scenarios import ExecutionTrace

checks = pytest.mark.checks


@checks("C-072")
def check_cancel_affects_one_execution_only(peer: Peer) -> None:
    (spinning, *_) = peer.fill_slots()
    first, second, third = [peer.submit("echo", value=n) for n in range(3)]
    peer.expect_reply("ok", "cancel", execution_id=second)
    statuses = [peer.record(each)["status"] for each in (spinning, first, second, third)]
    assert statuses == ["running", "queued", "cancelled", "queued"]
    peer.expect_reply("ok", "cancel", execution_id=spinning)
    statuses = [peer.await_end(each)["status"] for each in (spinning, first, second, third)]
    assert statuses == ["cancelled", "complete", "cancelled", "complete"]


@checks("C-073", "C-075")
def check_reply_to_cancel_is_ok_with_the_id(peer: Peer) -> None:
    peer.fill_slots()
    execution_id = peer.submit("echo", value=1)
    reply = peer.expect_reply("ok", "cancel", execution_id=execution_id)
    assert reply["execution_id"] == execution_id


@checks("C-074")
def check_cancel_requires_an_execution_id(peer: Peer) -> None:
    peer.expect_error("invalid_request", "cancel")
    peer.expect_error("invalid_request", "cancel", execution_id=None)


@checks("C-076")
def check_cancel_of_a_queued_execution_is_immediate(peer: Peer) -> None:
    peer.fill_slots()
    execution_id = peer.submit("echo", value=1)
    for _ in range(2):
        reply = peer.expect_reply("ok", "cancel", execution_id=execution_id)
        assert reply["execution_status"] == "cancelled"
    assert peer.record(execution_id)["status"] == "cancelled"


@checks("C-076")
def check_running_execution_is_interrupted_and_ends_cancelled(peer: Peer) -> None:
    (spinning, *_) = peer.fill_slots()
    reply = peer.expect_reply("ok", "cancel", execution_id=spinning)
    assert reply["execution_status"] == "running"
    assert peer.await_end(spinning)["status"] == "cancelled"
    assert (
        peer.expect_reply("ok", "cancel", execution_id=spinning)["execution_status"] == "cancelled"
    )


@checks("C-077")
def check_cancel_of_an_ended_execution_is_a_conflict(
    peer: Peer, counted: ExecutionTrace, failed: ExecutionTrace
) -> None:
    peer.expect_error("conflict", "cancel", execution_id=counted.execution_id)
    peer.expect_error("conflict", "cancel", execution_id=failed.execution_id)
