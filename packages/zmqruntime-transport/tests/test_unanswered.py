"""Requests that are under way: each has an id of its own, and one reply."""

import itertools
import json

import pytest

from zmqruntime.messages import ErrorCode, ErrorReply, PingRequest, StatusRequest
from zmqruntime.transport import MessageTooLarge
from zmqruntime.transport.client.pending_requests import Unanswered


def make(max_message_bytes: int = 1000) -> Unanswered:
    return Unanswered(itertools.count(1), max_message_bytes)


def reply(request_id: str | None) -> ErrorReply:
    return ErrorReply(code=ErrorCode.INTERNAL, message="no", request_id=request_id)


def test_a_reply_finds_its_request_in_any_order() -> None:
    unanswered = make()
    requests = [PingRequest(limit=number) for number in range(3)]
    ids = [json.loads(unanswered.add(request))["request_id"] for request in requests]
    for number in (2, 0, 1):
        sent = unanswered.match(reply(ids[number]))
        assert sent is not None
        assert (sent.number, sent.request) == (number, requests[number])
    assert len(unanswered) == 0


def test_a_reply_to_nothing_here_finds_nothing() -> None:
    unanswered = make()
    assert unanswered.match(reply(None)) is None
    unanswered.add(PingRequest(request_id="mine"))
    assert unanswered.match(reply("other's")) is None
    assert unanswered.match(reply("mine")) is not None
    assert unanswered.match(reply("mine")) is None


def test_a_reply_without_an_id_is_for_the_one_that_has_waited_longest() -> None:
    unanswered = make()
    frames = [unanswered.add(PingRequest()), unanswered.add(StatusRequest())]
    assert unanswered.frames == frames
    assert unanswered.first == "ping"
    unanswered.match(reply(None))
    assert unanswered.frames == frames[1:]
    assert unanswered.first == "status"


def test_an_id_that_is_made_is_nobody_else_s() -> None:
    unanswered = make()
    for name in ("#1", "#2"):
        unanswered.add(PingRequest(request_id=name))
    assert json.loads(unanswered.add(PingRequest()))["request_id"] == "#3"
    with pytest.raises(ValueError, match="one request_id"):
        unanswered.add(PingRequest(request_id="#3"))
    assert len(unanswered) == 3


def test_what_the_server_would_not_take_is_not_under_way() -> None:
    unanswered = make(max_message_bytes=10)
    with pytest.raises(MessageTooLarge, match="ping request"):
        unanswered.add(PingRequest())
    assert len(unanswered) == 0
