"""Requests and their replies, from any thread, over as many tries as the time allows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import zmq

from zmqruntime.messages import Reply
from zmqruntime.messages.lowlevel import Outgoing
from zmqruntime.transport.client.channel import STILL_THERE, Outcome, Pace
from zmqruntime.transport.client.channel_pool import ChannelPool
from zmqruntime.transport.client.conversation import Conversation
from zmqruntime.transport.client.pending_requests import Sent, Unanswered
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint

__all__ = ["ControlClient"]


def _nothing(_: Outcome) -> None:
    """Take a broken connection as it is."""


class ControlClient:
    """The control side of a client: a pool of connections that any thread may use.

    Its owner closes it, then terminates ``context``, which wakes up every thread inside.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint, config: ZMQConfig
    ) -> None:
        self.max_message_bytes = config.max_message_bytes
        self._endpoint = endpoint
        self._config = config
        self._numbers = itertools.count(1)
        self._pool = ChannelPool(context, endpoint, config)

    def request(
        self,
        request: Outgoing,
        deadline: Deadline,
        *,
        hold: float = 0.0,
        on_broken: Callable[[Outcome], None] = _nothing,
    ) -> Reply:
        """Send a request and return its reply.

        Args:
            request: what to ask. Asking it twice has to be safe.
            deadline: the end of all tries together.
            hold: how long, in seconds, the server was asked to hold its reply.
            on_broken: called whenever a connection is refused or has ended. It raises when
                there is no point in trying on; else what is unanswered goes out again.

        Raises:
            RequestTimeout: no reply in time, though something listens.
            ConnectionFailed: nobody listens, or nobody who speaks this protocol.
            NotConnected: the client was closed, before or meanwhile.
            MessageTooLarge: the server would not take it.
            MessageError: the reply is none of this protocol's.
        """
        with self._converse(hold, lambda: deadline, on_broken) as conversation:
            conversation.send(request)
            while True:
                for _, reply in conversation.receive():
                    return reply

    def exchange(
        self,
        requests: Sequence[Outgoing],
        deadline: Deadline,
        *,
        hold: float = 0.0,
        on_broken: Callable[[Outcome], None] = _nothing,
    ) -> list[Reply]:
        """Send requests one behind the other and return their replies, in the same order.

        The server takes them in this order, without a round trip between them. Arguments and
        errors are those of `request`.
        """
        with self._converse(hold, lambda: deadline, on_broken) as conversation:
            answers = _ask_all(conversation, requests, len(requests))
            replies = {sent.number: reply for sent, reply in answers}
        return [replies[number] for number in range(len(requests))]

    def pipeline(
        self,
        requests: Iterable[Outgoing | None],
        seconds: float,
        *,
        window: int,
        hold: float = 0.0,
        on_broken: Callable[[Outcome], None] = _nothing,
    ) -> Iterator[tuple[Outgoing, Reply]]:
        """Yield each request with its reply, as that comes; raises as `request` does.

        Args:
            requests: asked for a further one when there is room for it. One that yields None is
                asked again after the next reply, and has come to its end when none is due.
            seconds: how long there may be no reply at all, beside ``hold``.
            window: how many requests may be under way.
            hold: how long, in seconds, the server was asked to hold each reply.
            on_broken: see `request`.
        """
        with self._converse(
            hold, lambda: Deadline.after(seconds + hold), on_broken
        ) as conversation:
            for sent, reply in _ask_all(conversation, requests, window):
                yield sent.request, reply

    def wait_for_end(self, deadline: Deadline) -> bool:
        """Wait until the server ends its connections; False when it has not in time.

        Raises:
            NotConnected: the client was closed, before or meanwhile.
        """
        channel = self._pool.take()
        try:
            while True:
                outcome = channel.receive(deadline)
                if isinstance(outcome, bytes):
                    continue  # A late reply.
                if outcome is not Outcome.BUSY or deadline.expired:
                    return outcome not in STILL_THERE
                if not channel.retries_after(outcome):
                    channel = self._pool.replace(channel, Pace.SLOW)
        except zmq.ContextTerminated:
            raise self._pool.not_connected() from None
        finally:
            self._pool.drop(channel)

    def close(self) -> None:
        """Close the connections; one that a thread is inside is closed by that thread."""
        self._pool.close()

    def _converse(
        self,
        hold: float,
        make_deadline: Callable[[], Deadline],
        on_broken: Callable[[Outcome], None],
    ) -> Conversation:
        return Conversation(
            self._pool,
            self._endpoint,
            Unanswered(self._numbers, self.max_message_bytes),
            hold + self._config.retry_interval,
            make_deadline,
            on_broken,
        )


def _ask_all(
    conversation: Conversation, requests: Iterable[Outgoing | None], window: int
) -> Iterator[tuple[Sent, Reply]]:
    """Send requests as there is room for them, and yield the replies as they come."""
    pending = iter(requests)
    while True:
        answers: list[tuple[Sent, Reply]] = []
        while conversation.under_way < window and not answers:
            conversation.leave()  # Whoever is asked for a request may take long.
            request = next(pending, None)
            conversation.enter()
            if request is None:
                break
            conversation.send(request)
            answers = conversation.look()
        if not answers:
            if not conversation.under_way:
                return
            answers = conversation.receive()
        conversation.leave()
        yield from answers
        conversation.enter()
