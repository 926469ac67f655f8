"""What a client can read of the past: the events it missed, and what a task has written."""

from __future__ import annotations

from typing import Any

import pytest

from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.scenarios import ExecutionTrace
from zmqruntime.testing.conformance.transcript import Message

checks = pytest.mark.checks

MANY = 150


def kept(peer: Peer, execution_id: str, **fields: Any) -> Message:
    """Return the `kept_events`."""
    return peer.expect_reply("kept_events", "events", execution_id=execution_id, **fields)


@checks("C-188", "C-193")
def check_events_are_answered_by_kept_events(peer: Peer, counted: ExecutionTrace) -> None:
    reply = kept(peer, counted.execution_id)
    assert reply["execution_id"] == counted.execution_id


@checks("C-190", "C-200")
@pytest.mark.parametrize("request_type", ["events", "log_tail"])
def check_a_look_back_names_an_execution(peer: Peer, request_type: str) -> None:
    peer.expect_error("invalid_request", request_type)


@checks("C-100")
@pytest.mark.parametrize("request_type", ["events", "log_tail"])
def check_there_is_no_looking_back_at_nobody(peer: Peer, request_type: str) -> None:
    peer.expect_error("unknown_execution", request_type, execution_id="nobody")


@checks("C-191")
@pytest.mark.parametrize("after", [-1, 1.5, "1", None], ids=repr)
def check_the_number_of_the_last_known_event_is_in_its_range(
    peer: Peer, counted: ExecutionTrace, after: Any
) -> None:
    fields = {"execution_id": counted.execution_id, "after_sequence": after}
    peer.expect_error("invalid_request", "events", **fields)


@checks("C-192")
@pytest.mark.parametrize("limit", [-1, 1001, "1", None], ids=repr)
def check_the_number_of_events_is_in_its_range(
    peer: Peer, counted: ExecutionTrace, limit: Any
) -> None:
    fields = {"execution_id": counted.execution_id, "limit": limit}
    peer.expect_error("invalid_request", "events", **fields)


@checks("C-189", "C-191", "C-194", "C-195", "C-196")
def check_what_was_published_is_kept(peer: Peer, counted: ExecutionTrace) -> None:
    told = [event.body for event in counted.events]
    reply = kept(peer, counted.execution_id)
    assert reply["events"] == told
    assert reply["first_kept_sequence"] == told[0]["sequence"]
    assert reply["last_sequence"] == told[-1]["sequence"]
    for n, event in enumerate(told, start=1):
        behind = kept(peer, counted.execution_id, after_sequence=event["sequence"])["events"]
        assert behind == told[n:]


@checks("C-192", "C-197", "C-198")
@pytest.mark.parametrize("limit", [None, 1, 40, 1000], ids=str)
def check_what_is_kept_is_read_page_by_page(peer: Peer, limit: int | None) -> None:
    execution_id = peer.submit("count", events=MANY)
    peer.await_end(execution_id)
    asked = {} if limit is None else {"limit": limit}
    most = limit or 100
    sequences: list[int] = []
    last = None
    while not sequences or sequences[-1] != last:
        reply = kept(peer, execution_id, after_sequence=sequences[-1] if sequences else 0, **asked)
        assert reply["events"], "there are more, and the page is empty"
        assert len(reply["events"]) <= most, "the page is longer than the limit"
        sequences += [event["sequence"] for event in reply["events"]]
        last = reply["last_sequence"]
        if limit == 1 and len(sequences) == 3:
            break  # It would go on like this for long.
    assert sequences == list(range(1, len(sequences) + 1)), "there is a gap"
    assert limit == 1 or len(sequences) == MANY + 3


@checks("C-199", "C-202", "C-203", "C-204", "C-205")
def check_log_tail_is_answered_by_log(peer: Peer, counted: ExecutionTrace) -> None:
    reply = peer.expect_reply("log", "log_tail", execution_id=counted.execution_id)
    assert reply["execution_id"] == counted.execution_id
    assert (reply["text"], reply["size_bytes"]) == ("", 0), "the task has written nothing"


@checks("C-201")
@pytest.mark.parametrize("max_bytes", [-1, 65537, "1", None], ids=repr)
def check_the_length_of_a_tail_is_in_its_range(
    peer: Peer, counted: ExecutionTrace, max_bytes: Any
) -> None:
    fields = {"execution_id": counted.execution_id, "max_bytes": max_bytes}
    peer.expect_error("invalid_request", "log_tail", **fields)
