"""Pending requests: each has an id of its own, and is matched by one reply."""

import itertools
import json

import pytest

from zmqruntime.messages import ErrorCode, ErrorReply, PingRequest, StatusRequest
from zmqruntime.transport import MessageTooLarge
from zmqruntime.transport.client.pending_requests import PendingRequests


def make(max_message_bytes: int = 1000) -> PendingRequests:
    return PendingRequests(itertools.count(1), max_message_bytes)


def reply(request_id: str | None) -> ErrorReply:
    return ErrorReply(code=ErrorCode.INTERNAL, message="no", request_id=request_id)


def test_reply_matches_its_request_in_any_order() -> None:
    pending = make()
    requests = [PingRequest(limit=number) for number in range(3)]
    ids = [json.loads(pending.add(request))["request_id"] for request in requests]
    for number in (2, 0, 1):
        sent = pending.match(reply(ids[number]))
        assert sent is not None
        assert (sent.number, sent.request) == (number, requests[number])
    assert len(pending) == 0


def test_reply_with_an_unknown_id_and_a_second_reply_match_nothing() -> None:
    pending = make()
    assert pending.match(reply(None)) is None
    pending.add(PingRequest(request_id="mine"))
    assert pending.match(reply("other's")) is None
    assert pending.match(reply("mine")) is not None
    assert pending.match(reply("mine")) is None


def test_reply_without_an_id_matches_the_oldest_request() -> None:
    pending = make()
    frames = [pending.add(PingRequest()), pending.add(StatusRequest())]
    assert pending.frames == frames
    assert pending.oldest_type == "ping"
    pending.match(reply(None))
    assert pending.frames == frames[1:]
    assert pending.oldest_type == "status"


def test_generated_id_differs_from_those_of_the_caller() -> None:
    pending = make()
    for name in ("#1", "#2"):
        pending.add(PingRequest(request_id=name))
    assert json.loads(pending.add(PingRequest()))["request_id"] == "#3"
    with pytest.raises(ValueError, match="duplicate request_id '#3'"):
        pending.add(PingRequest(request_id="#3"))
    assert len(pending) == 3


def test_request_that_is_too_large_is_not_pending() -> None:
    pending = make(max_message_bytes=10)
    with pytest.raises(MessageTooLarge, match="ping request"):
        pending.add(PingRequest())
    assert len(pending) == 0
