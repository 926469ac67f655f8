"""Submitting: fields, queue positions, duplicates and conflicts."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.scenarios import LABELS, BusyServer, ExecutionTrace
from zmqruntime.testing.conformance.transcript import Message

checks = pytest.mark.checks


def request_of(peer: Peer, **changes: Any) -> dict[str, Any]:
    """Return the fields of an `execute`, with a new id."""
    fields = {
        "client_id": peer.name,
        "execution_id": uuid.uuid4().hex,
        "task": {"do": "echo", "value": {"a": 1, "b": [2]}},
        "config": {"c": 3, "d": None},
        "labels": {"e": "f", "g": "h"},
        "timeout_seconds": 60,
    }
    return fields | changes


def execute(peer: Peer, fields: dict[str, Any]) -> Message:
    """Send an `execute` and return its `accepted` reply."""
    return peer.expect_reply("accepted", "execute", **fields)


@checks("C-044")
def check_reply_to_execute_is_accepted(peer: Peer) -> None:
    execute(peer, request_of(peer))


@checks("C-045")
@pytest.mark.parametrize("task", [None, [], "echo", 1], ids=repr)
def check_task_is_an_object(peer: Peer, task: Any) -> None:
    peer.expect_error("invalid_request", "execute", client_id=peer.name, task=task)


@checks("C-045")
def check_task_is_required(peer: Peer) -> None:
    peer.expect_error("invalid_request", "execute", client_id=peer.name)


@checks("C-046")
def check_client_id_is_required(peer: Peer) -> None:
    peer.expect_error("invalid_request", "execute", task={"do": "echo", "value": 1})


@checks("C-047")
@pytest.mark.parametrize("config", [[], "fast", 1], ids=repr)
def check_config_is_an_object_or_null(peer: Peer, config: Any) -> None:
    peer.expect_error("invalid_request", "execute", **request_of(peer, config=config))


@checks("C-048", "C-051")
def check_execution_id_of_the_client_is_used(peer: Peer) -> None:
    fields = request_of(peer)
    assert execute(peer, fields)["execution_id"] == fields["execution_id"]


@checks("C-048")
def check_generated_execution_ids_are_distinct(peer: Peer) -> None:
    made = [execute(peer, request_of(peer, execution_id=None))["execution_id"] for _ in range(3)]
    assert len(set(made)) == 3
    for execution_id in made:
        peer.await_end(execution_id)


@checks("C-049", "C-112")
def check_labels_are_stored_and_listed(
    counted: ExecutionTrace, failed: ExecutionTrace, busy: BusyServer
) -> None:
    assert counted.record["labels"] == busy.queued_record["labels"] == LABELS
    assert [entry["labels"] for entry in busy.pong["queued_executions"]] == [LABELS] * 2
    assert failed.record["labels"] == {}


@checks("C-049")
@pytest.mark.parametrize("labels", [[], {"a": 1}, {"a": None}, "a"], ids=repr)
def check_labels_map_strings_to_strings(peer: Peer, labels: Any) -> None:
    peer.expect_error("invalid_request", "execute", **request_of(peer, labels=labels))


@checks("C-049")
@pytest.mark.parametrize(
    "labels",
    [{f"{n}": "" for n in range(33)}, {"n" * 65: ""}, {"a": "v" * 1001}],
    ids=["33 labels", "a name of 65 characters", "a value of 1001 characters"],
)
def check_labels_beyond_the_limits_are_rejected(peer: Peer, labels: dict[str, str]) -> None:
    peer.expect_error("invalid_request", "execute", **request_of(peer, labels=labels))


@checks("C-049")
def check_labels_at_the_limits_are_accepted(peer: Peer) -> None:
    labels = {f"{n:n>64}": "v" * 1000 for n in range(32)}
    fields = request_of(peer, labels=labels)
    execute(peer, fields)
    assert peer.await_end(fields["execution_id"])["labels"] == labels


@checks("C-163")
@pytest.mark.parametrize("seconds", [-1, 61, "1", None], ids=repr)
def check_wait_of_an_execute_out_of_range_is_rejected(peer: Peer, seconds: Any) -> None:
    peer.expect_error("invalid_request", "execute", **request_of(peer, wait_seconds=seconds))


@checks("C-164", "C-165")
def check_held_execute_returns_the_result(peer: Peer) -> None:
    fields = request_of(peer, wait_seconds=60)
    for duplicate in (False, True):
        reply = peer.await_held(peer.send_request("execute", **fields))
        assert (reply["type"], reply["duplicate"]) == ("accepted", duplicate)
        record = reply["execution"]
        assert record["execution_id"] == reply["execution_id"] == fields["execution_id"]
        assert (record["status"], record["result"]) == ("complete", fields["task"]["value"])


@checks("C-163", "C-165")
def check_held_execute_returns_after_wait_seconds(peer: Peer) -> None:
    peer.fill_slots()
    held = peer.send_request("execute", **request_of(peer, wait_seconds=0.5))
    assert peer.await_held(held, 0.5)["execution"]["status"] == "queued"


@checks("C-164")
def check_execute_without_wait_returns_no_record(peer: Peer) -> None:
    assert execute(peer, request_of(peer)).get("execution") is None


@checks("C-050")
@pytest.mark.parametrize("seconds", [0, -1, "1", True], ids=repr)
def check_timeout_is_positive(peer: Peer, seconds: Any) -> None:
    peer.expect_error("invalid_request", "execute", **request_of(peer, timeout_seconds=seconds))


@checks("C-050")
def check_task_beyond_its_timeout_fails(peer: Peer) -> None:
    record = peer.await_end(peer.submit("spin", fields={"timeout_seconds": 0.2}))
    assert record["status"] == "failed"
    assert record["error"]["kind"] == "timeout"


@checks("C-052")
def check_queue_position_counts_preceding_executions(peer: Peer) -> None:
    peer.fill_slots()
    fields = [request_of(peer) for _ in range(3)]
    assert [execute(peer, each)["queue_position"] for each in fields] == [1, 2, 3]
    assert execute(peer, fields[1])["queue_position"] == 2
    peer.expect_reply("ok", "cancel", execution_id=fields[1]["execution_id"])
    assert execute(peer, fields[1])["queue_position"] is None
    assert execute(peer, fields[2])["queue_position"] == 2


@checks("C-052")
def check_queue_is_started_in_order(peer: Peer) -> None:
    (spinning, *_) = peer.fill_slots()
    queued = [peer.submit("echo", value=n) for n in range(3)]
    peer.expect_reply("ok", "cancel", execution_id=spinning)
    started = [peer.await_end(execution_id)["started_at"] for execution_id in queued]
    assert started == sorted(started), "executions did not start in queue order"


@checks("C-053", "C-054")
def check_identical_request_is_a_duplicate(peer: Peer) -> None:
    fields = request_of(peer)
    assert execute(peer, fields)["duplicate"] is False
    assert execute(peer, fields)["duplicate"] is True
    peer.await_end(fields["execution_id"])
    assert execute(peer, fields)["duplicate"] is True


@checks("C-053", "C-054")
def check_duplicate_is_executed_once(peer: Peer) -> None:
    (spinning, *_) = peer.fill_slots()
    fields = request_of(peer)
    execute(peer, fields)
    execute(peer, fields)
    assert peer.expect_reply("pong", "ping")["queued_count"] == 1, "the duplicate was queued again"
    peer.expect_reply("ok", "cancel", execution_id=spinning)
    last = peer.submit("echo", value="next")
    states = [event.body.get("status") for event in peer.events_to_end(fields["execution_id"])]
    peer.events_to_end(last)
    assert states == ["queued", "running", "complete"]
    more = peer.unread_events(fields["execution_id"])
    assert not more, "received events after the terminal state: the duplicate was executed again"


@checks("C-055", "C-056")
@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "another-client"},
        {"task": {"do": "echo", "value": {"a": 1, "b": [3]}}},
        {"task": {"do": "echo", "value": {"a": 1.0, "b": [2]}}},
        {"config": None},
        {"config": {"c": 3}},
        {"labels": {}},
        {"labels": {"e": "f", "g": "i"}},
        {"timeout_seconds": 61},
        {"timeout_seconds": None},
        {"priority": 1},
        {"max_attempts": 2},
        {"retry_on": []},
        {"backoff_seconds": 1},
    ],
    ids=str,
)
def check_different_content_is_a_conflict(peer: Peer, change: dict[str, Any]) -> None:
    fields = request_of(peer)
    execute(peer, fields)
    peer.expect_error("conflict", "execute", **fields | change)


@checks("C-056")
def check_key_order_is_irrelevant(peer: Peer) -> None:
    fields = request_of(peer)
    execute(peer, fields)
    reordered = {
        "task": {"value": {"b": [2], "a": 1}, "do": "echo"},
        "config": {"d": None, "c": 3},
        "labels": {"g": "h", "e": "f"},
    }
    assert execute(peer, fields | reordered)["duplicate"] is True


@checks("C-057")
def check_retry_on_a_fresh_connection_is_a_duplicate(peer: Peer, make_peer: MakePeer) -> None:
    fields = request_of(peer)
    peer.send_request("execute", **fields)
    reply = execute(peer, fields)  # Requests of one connection are handled in order.
    assert reply["duplicate"] is True
    assert execute(make_peer(), fields)["duplicate"] is True
