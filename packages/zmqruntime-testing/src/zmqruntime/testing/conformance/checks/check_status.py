"""Records, snapshots, long polls and pages."""

from __future__ import annotations

from typing import Any

import pytest

from zmqruntime.testing.conformance.peer import TERMINAL, Peer
from zmqruntime.testing.conformance.scenarios import BusyServer, ExecutionTrace
from zmqruntime.testing.conformance.target import Settings

checks = pytest.mark.checks


@checks("C-059")
def check_reply_to_status_is_snapshot(peer: Peer) -> None:
    peer.expect_reply("snapshot", "status")


@checks("C-060", "C-066")
def check_snapshot_has_the_record_of_the_requested_execution(
    counted: ExecutionTrace, busy: BusyServer
) -> None:
    assert counted.record["execution_id"] == counted.execution_id
    assert busy.snapshot.get("execution") is None, "the request names no execution"


@checks("C-061")
@pytest.mark.parametrize("seconds", [-1, 61, "1", None], ids=repr)
def check_wait_of_a_status_out_of_range_is_rejected(peer: Peer, seconds: Any) -> None:
    peer.expect_error("invalid_request", "status", wait_seconds=seconds)


@checks("C-062")
@pytest.mark.parametrize("limit", [-1, 1001, "1", None], ids=repr)
def check_limit_of_a_status_out_of_range_is_rejected(peer: Peer, limit: Any) -> None:
    peer.expect_error("invalid_request", "status", limit=limit)


@checks("C-064")
def check_held_status_returns_when_the_execution_ends(peer: Peer) -> None:
    (spinning, *_) = peer.fill_slots()
    held = peer.send_request("status", execution_id=spinning, wait_seconds=60)
    peer.expect_reply("ok", "cancel", execution_id=spinning)
    assert peer.await_held(held)["execution"]["status"] == "cancelled"


@checks("C-064")
def check_status_of_an_ended_execution_is_not_held(peer: Peer, counted: ExecutionTrace) -> None:
    held = peer.send_request("status", execution_id=counted.execution_id, wait_seconds=60)
    assert peer.await_held(held)["execution"]["status"] == "complete"


@checks("C-064")
def check_several_requests_wait_for_one_execution(peer: Peer) -> None:
    (spinning, *_) = peer.fill_slots()
    held = [peer.send_request("status", execution_id=spinning, wait_seconds=60) for _ in range(5)]
    peer.expect_reply("ok", "cancel", execution_id=spinning)
    for each in held:
        assert peer.await_held(each)["execution"]["status"] == "cancelled"


@checks("C-280", "C-281", "C-282")
def check_further_final_records_are_included(peer: Peer) -> None:
    ended = [peer.submit("echo", value=n) for n in range(4)]
    for execution_id in ended:
        peer.expect_reply("snapshot", "status", execution_id=execution_id, wait_seconds=60)
    (spinning, *_) = peer.fill_slots()
    waiting = peer.submit("echo", value=4)
    names = [ended[2], spinning, "never-submitted", ended[1], waiting]
    reply = peer.expect_reply(
        "snapshot", "status", execution_id=ended[0], also=names, wait_seconds=60
    )
    assert reply["execution"]["execution_id"] == ended[0]
    # The field is optional for a server.
    if "also" in reply:
        found = [(each["execution_id"], each["result"]) for each in reply["also"]]
        assert found == [(ended[2], 2), (ended[1], 1)]


@checks("C-065")
def check_status_without_an_execution_is_not_held(peer: Peer) -> None:
    peer.fill_slots()
    held = peer.send_request("status", wait_seconds=60)
    assert peer.await_held(held)["type"] == "snapshot"


@checks("C-067")
def check_snapshot_lists_running_executions(busy: BusyServer) -> None:
    assert busy.running in [e["execution_id"] for e in busy.snapshot["running_executions"]]


@checks("C-068")
def check_snapshot_lists_the_queue_in_order(busy: BusyServer) -> None:
    listed = busy.snapshot["queued_executions"]
    assert [entry["execution_id"] for entry in listed] == busy.queued


@checks("C-069")
def check_counts_match_the_kept_executions(peer: Peer, settings: Settings) -> None:
    before = peer.expect_reply("snapshot", "status")["counts"]
    peer.fill_slots()
    peer.submit("echo", value=1)
    busy = peer.expect_reply("snapshot", "status")["counts"]
    assert (busy["running"], busy["queued"]) == (settings.slots, 1)
    assert before.get("running", 0) == before.get("queued", 0) == 0, (
        "another client uses the server"
    )
    assert {status: busy.get(status) for status in TERMINAL} == {
        status: before.get(status) for status in TERMINAL
    }


@checks("C-062", "C-063", "C-070", "C-071")
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def check_pages_list_each_queued_execution_once(peer: Peer, limit: int) -> None:
    peer.fill_slots()
    queued = [peer.submit("echo", value=n) for n in range(4)]
    listed_ids: list[str] = []
    cursor = None
    for _ in range(len(queued) + 1):
        page = peer.expect_reply("snapshot", "status", limit=limit, cursor=cursor)
        entries = page["queued_executions"]
        assert len(entries) <= limit, "the page is longer than the limit"
        listed_ids += [entry["execution_id"] for entry in entries]
        cursor = page["cursor"]
        if cursor is None:
            break
        assert len(entries) == limit, "a page before the last one is not full"
    assert listed_ids == queued
    assert cursor is None, "the last page has a cursor"


@checks("C-115")
def check_record_has_start_and_finish_times(counted: ExecutionTrace, busy: BusyServer) -> None:
    assert counted.record["started_at"] is not None
    assert counted.record["finished_at"] is not None
    assert busy.running_record["started_at"] is not None
    assert busy.running_record["finished_at"] is None


@checks("C-116")
def check_only_queued_records_have_a_queue_position(
    counted: ExecutionTrace, busy: BusyServer
) -> None:
    assert busy.queued_record["queue_position"] == 1
    assert busy.running_record["queue_position"] is None
    assert counted.record["queue_position"] is None


@checks("C-117")
def check_record_has_the_latest_progress(counted: ExecutionTrace, failed: ExecutionTrace) -> None:
    reported = [e.body for e in counted.events if e.body["type"] == "progress"]
    assert counted.record["progress"] == reported[-1]
    assert failed.record["progress"] is None


@checks("C-113")
def check_record_has_attempt_1(counted: ExecutionTrace) -> None:
    assert counted.record["attempt"] == 1
