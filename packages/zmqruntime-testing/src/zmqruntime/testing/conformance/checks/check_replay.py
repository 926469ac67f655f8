"""Replay of kept events, and the tail of a task log."""

from __future__ import annotations

from typing import Any

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.scenarios import ExecutionTrace
from zmqruntime.testing.conformance.transcript import Message

checks = pytest.mark.checks

MANY = 150


def read_events(peer: Peer, execution_id: str, **fields: Any) -> Message:
    """Return the `kept_events` reply."""
    return peer.expect_reply("kept_events", "events", execution_id=execution_id, **fields)


@checks("C-188", "C-193")
def check_reply_to_events_is_kept_events(peer: Peer, counted: ExecutionTrace) -> None:
    reply = read_events(peer, counted.execution_id)
    assert reply["execution_id"] == counted.execution_id


@checks("C-190", "C-200")
@pytest.mark.parametrize("request_type", ["events", "log_tail"])
def check_replay_requires_an_execution_id(peer: Peer, request_type: str) -> None:
    peer.expect_error("invalid_request", request_type)


@checks("C-100")
@pytest.mark.parametrize("request_type", ["events", "log_tail"])
def check_replay_of_an_unknown_execution_is_rejected(peer: Peer, request_type: str) -> None:
    peer.expect_error("unknown_execution", request_type, execution_id="unknown")


@checks("C-191")
@pytest.mark.parametrize("after", [-1, 1.5, "1", None], ids=repr)
def check_after_sequence_out_of_range_is_rejected(
    peer: Peer, counted: ExecutionTrace, after: Any
) -> None:
    fields = {"execution_id": counted.execution_id, "after_sequence": after}
    peer.expect_error("invalid_request", "events", **fields)


@checks("C-192")
@pytest.mark.parametrize("limit", [-1, 1001, "1", None], ids=repr)
def check_limit_of_events_out_of_range_is_rejected(
    peer: Peer, counted: ExecutionTrace, limit: Any
) -> None:
    fields = {"execution_id": counted.execution_id, "limit": limit}
    peer.expect_error("invalid_request", "events", **fields)


@checks("C-189", "C-191", "C-194", "C-195", "C-196")
def check_published_events_are_kept(peer: Peer, counted: ExecutionTrace) -> None:
    published = [event.body for event in counted.events]
    reply = read_events(peer, counted.execution_id)
    assert reply["events"] == published
    assert reply["first_kept_sequence"] == published[0]["sequence"]
    assert reply["last_sequence"] == published[-1]["sequence"]
    for n, event in enumerate(published, start=1):
        following = read_events(peer, counted.execution_id, after_sequence=event["sequence"])[
            "events"
        ]
        assert following == published[n:]


@checks("C-192", "C-197", "C-198")
@pytest.mark.parametrize("limit", [None, 1, 40, 1000], ids=str)
def check_kept_events_are_read_in_pages(peer: Peer, limit: int | None) -> None:
    execution_id = peer.submit("count", events=MANY)
    peer.await_end(execution_id)
    page_limit = {} if limit is None else {"limit": limit}
    most = limit or 100
    sequences: list[int] = []
    last = None
    while not sequences or sequences[-1] != last:
        reply = read_events(
            peer, execution_id, after_sequence=sequences[-1] if sequences else 0, **page_limit
        )
        assert reply["events"], "the page is empty before the last event"
        assert len(reply["events"]) <= most, "the page is longer than the limit"
        sequences += [event["sequence"] for event in reply["events"]]
        last = reply["last_sequence"]
        if limit == 1 and len(sequences) == 3:
            break  # Three pages are enough.
    assert sequences == list(range(1, len(sequences) + 1)), "there is a gap"
    assert limit == 1 or len(sequences) == MANY + 3


@checks("C-199", "C-202", "C-203", "C-204", "C-205")
def check_reply_to_log_tail_is_log(peer: Peer, counted: ExecutionTrace) -> None:
    reply = peer.expect_reply("log", "log_tail", execution_id=counted.execution_id)
    assert reply["execution_id"] == counted.execution_id
    assert (reply["text"], reply["size_bytes"]) == ("", 0), "the task has written nothing"


@checks("C-201")
@pytest.mark.parametrize("max_bytes", [-1, 65537, "1", None], ids=repr)
def check_max_bytes_out_of_range_is_rejected(
    peer: Peer, counted: ExecutionTrace, max_bytes: Any
) -> None:
    fields = {"execution_id": counted.execution_id, "max_bytes": max_bytes}
    peer.expect_error("invalid_request", "log_tail", **fields)
