"""A connection is kept for the next request only when nothing is under way on it."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest

from zmqruntime.messages import OkReply, PingRequest, encode
from zmqruntime.transport import Endpoint
from zmqruntime.transport.client.channel_pool import ChannelPool
from zmqruntime.transport.client.conversation import Conversation
from zmqruntime.transport.client.pending_requests import Unanswered
from zmqruntime.transport.lowlevel import Deadline


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Connections:
    """A pool with one connection; its peer returns no request ids.

    Each reply takes ``reply_seconds`` of the test's clock. ``allowed`` notes how many seconds each
    of the receives was given.
    """

    def __init__(self, clock: Clock) -> None:
        self.sent: list[bytes] = []
        self.kept = self.dropped = False
        self.allowed: list[float] = []
        self.reply_seconds = 0.0
        self._clock = clock

    def take(self) -> Connections:
        return self

    def give_back(self, channel: object) -> None:
        self.kept = True

    def drop(self, channel: object) -> None:
        self.dropped = True

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def receive_some(self, deadline: Deadline, most: int) -> list[bytes]:
        self.allowed.append(deadline.remaining)
        self._clock.now += self.reply_seconds
        return [encode(OkReply())] if most and self.sent else []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What a conversation takes for the time."""
    clock = Clock()
    monkeypatch.setattr("zmqruntime.transport.client.conversation.time", clock)
    return clock


@pytest.fixture
def connections(clock: Clock) -> Connections:
    return Connections(clock)


@pytest.fixture
def conversation(connections: Connections, endpoint: Endpoint, clock: Clock) -> Conversation:
    def fail(outcome: object) -> Any:
        raise AssertionError(outcome)

    return Conversation(
        cast(ChannelPool, connections),
        endpoint,
        Unanswered(itertools.count(1), 1000),
        1.0,
        lambda: Deadline.after(60.0, clock.monotonic),
        fail,
    )


def test_a_connection_on_which_all_is_answered_is_kept(
    conversation: Conversation, connections: Connections
) -> None:
    with conversation:
        conversation.send(PingRequest())
        ((sent, reply),) = conversation.receive()
        assert (sent.number, reply.type) == (0, "ok")
    assert (connections.kept, connections.dropped) == (True, False)


def test_one_on_which_a_reply_may_still_come_is_not(
    conversation: Conversation, connections: Connections
) -> None:
    def ask_and_be_interrupted() -> None:
        with conversation:
            conversation.send(PingRequest())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask_and_be_interrupted()
    assert (connections.kept, connections.dropped) == (False, True)


def test_replies_are_received_between_requests_once_in_a_millisecond(
    conversation: Conversation, connections: Connections, clock: Clock
) -> None:
    with conversation:
        conversation.send(PingRequest())
        clock.now += 0.0005
        assert conversation.look() == []
        assert connections.allowed == []
        clock.now += 0.0006
        assert len(conversation.look()) == 1
        assert conversation.under_way == 0
        conversation.send(PingRequest())
        clock.now += 0.0005
        assert conversation.look() == []
        clock.now += 0.0006
        assert len(conversation.look()) == 1
        assert connections.allowed == [0.0, 0.0]


def test_each_reply_may_take_a_whole_try_however_long_all_of_them_take(
    conversation: Conversation, connections: Connections
) -> None:
    connections.reply_seconds = 0.75
    with conversation:
        for _ in range(4):
            conversation.send(PingRequest())
        while conversation.under_way:
            conversation.receive()
    assert connections.allowed == [1.0] * 4
    assert len(connections.sent) == 4
