"""A connection is kept for the next request only when nothing is under way on it."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest

from zmqruntime.messages import OkReply, PingRequest, encode
from zmqruntime.transport import Deadline, Endpoint
from zmqruntime.transport.channel_pool import ChannelPool
from zmqruntime.transport.conversation import Conversation
from zmqruntime.transport.unanswered import Unanswered


class Connections:
    """A pool with one connection, over which a peer answers that keeps ids to itself."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.kept = self.dropped = False

    def take(self) -> Connections:
        return self

    def give_back(self, channel: object) -> None:
        self.kept = True

    def drop(self, channel: object) -> None:
        self.dropped = True

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def receive_some(self, deadline: Deadline, most: int) -> list[bytes]:
        return [encode(OkReply()) for _ in range(min(most, len(self.sent)))]


@pytest.fixture
def connections() -> Connections:
    return Connections()


@pytest.fixture
def conversation(connections: Connections, endpoint: Endpoint) -> Conversation:
    def fail(outcome: object) -> Any:
        raise AssertionError(outcome)

    return Conversation(
        cast(ChannelPool, connections),
        endpoint,
        Unanswered(itertools.count(1), 1000),
        1.0,
        lambda: Deadline.after(1.0),
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


def test_it_is_looked_for_replies_when_many_requests_go_out(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with conversation:
        conversation.send(PingRequest())
        assert conversation.look() == []  # Not at once.
        conversation._looked -= 1.0
        assert len(conversation.look()) == 1
        assert conversation.under_way == 0
