"""Exchanges in the calling thread: each borrows a connection, and blocks until replies come."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

import zmq

from zmqruntime.messages import Reply
from zmqruntime.messages.lowlevel import Outgoing
from zmqruntime.transport.client.channel_pool import ChannelPool
from zmqruntime.transport.client.exchange import Answer, Exchange, RequestLimits
from zmqruntime.transport.client.outcome import (
    BROKEN,
    SILENCES,
    STILL_THERE,
    Outcome,
    ReconnectInterval,
)
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import ConnectionFailed, ServerLost, TransportError

__all__ = ["BlockingExchange", "Requester"]

_READ_INTERVAL_SECONDS: Final = 0.001
"""How long requests are sent before replies are read in between."""
_NO_WAIT: Final = Deadline(float("-inf"))

Check = Callable[[Outcome], None]
"""Called when a connection is refused or closed; raises when a retry is pointless."""
Explain = Callable[[ConnectionFailed | ServerLost], TransportError]
"""Returns the error to raise for one that ends an exchange."""


def _ignore(_: Outcome) -> None:
    """Retry in any case."""


def _keep(error: ConnectionFailed | ServerLost) -> TransportError:
    return error


class BlockingExchange:
    """One exchange on a connection that it borrows from a pool: a context manager.

    Every method raises:
        RequestTimeout: no reply by the deadline; the server may still reply.
        ConnectionFailed: no server listens there, or not one that speaks this protocol.
        NotConnected: the client was closed, before or meanwhile.
        MessageTooLarge: a request is longer than the server accepts; it was not sent.
        MessageError: a reply is not one of the protocol.
        ValueError: two pending requests have the same id.
    """

    def __init__(
        self,
        exchange: Exchange,
        pool: ChannelPool,
        check: Check = _ignore,
        explain: Explain = _keep,
    ) -> None:
        self._exchange = exchange
        self._pool = pool
        self._check = check
        self._explain = explain
        self._read_at = 0.0

    def __enter__(self) -> Self:
        self._channel = self._pool.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._exchange:
            self._pool.discard(self._channel)  # A reply may still come there.
        else:
            self._pool.release(self._channel)
        if isinstance(error, zmq.ContextTerminated):
            raise self._pool.not_connected() from None
        if isinstance(error, ConnectionFailed | ServerLost):
            explained = self._explain(error)
            if explained is not error:
                raise explained from None

    def request(self, request: Outgoing) -> Reply:
        """Send a request and return its reply."""
        self._send(request)
        while not (answers := self._receive(None)):
            pass  # Late replies of another exchange.
        return answers[0][1]

    def request_all(self, requests: Sequence[Outgoing]) -> list[Reply]:
        """Send requests without a round trip between them; return the replies in their order."""
        replies = {sent.number: reply for sent, reply in self.pipeline(requests, len(requests))}
        return [replies[number] for number in range(len(requests))]

    def pipeline(self, requests: Iterable[Outgoing | None], window: int) -> Iterator[Answer]:
        """Yield each request with its reply, in the order in which the replies come.

        Args:
            requests: the source; the next request is taken when fewer than ``window`` are
                pending. None instead of one: take the next after the next reply, or end when no
                reply is pending.
            window: how many requests may be pending.
        """
        source = iter(requests)
        self._read_at = time.monotonic() + _READ_INTERVAL_SECONDS
        while True:
            answers: list[Answer] = []
            while len(self._exchange) < window and not answers:
                self._pool.suspend(self._channel)  # The source may block.
                request = next(source, None)
                self._pool.resume(self._channel)
                if request is None:
                    break
                self._send(request)
                answers = self._read_in_between()
            if not answers:
                if not self._exchange:
                    return
                answers = self._receive(None)
            self._pool.suspend(self._channel)
            yield from answers
            self._pool.resume(self._channel)

    def _send(self, request: Outgoing) -> None:
        self._channel.send(self._exchange.add(request))

    def _read_in_between(self) -> list[Answer]:
        """Return replies that came while requests are sent, if that has taken a while."""
        now = time.monotonic()
        if now < self._read_at:
            return []
        self._read_at = now + _READ_INTERVAL_SECONDS
        found = self._channel.receive_many(_NO_WAIT, len(self._exchange))
        if isinstance(found, Outcome) and found in SILENCES:
            return []
        return self._receive(found)

    def _receive(self, found: list[bytes] | Outcome | None) -> list[Answer]:
        """Return the next answers; none when only late or duplicate replies came.

        Args:
            found: what was received already.
        """
        exchange = self._exchange
        exchange.start_wait(time.monotonic())
        while True:
            if found is None:
                found = self._channel.receive_many(Deadline(exchange.retry_at), len(exchange))
            if not isinstance(found, Outcome):
                return exchange.match(found)
            self._recover(found)
            found = None

    def _recover(self, outcome: Outcome) -> None:
        if outcome in BROKEN:
            self._check(outcome)
        reconnects = self._channel.reconnects_after(outcome)
        retry = self._exchange.recover(outcome, time.monotonic(), reconnects=reconnects)
        if retry is not None:
            self._channel = self._pool.replace(self._channel, retry.interval)
            for frame in retry.frames:
                self._channel.send(frame)


class Requester:
    """Opens exchanges with one server, over a pool of connections. For any thread.

    Its owner closes it and then terminates ``context``, which wakes every blocked thread.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: Endpoint, config: ZMQConfig
    ) -> None:
        self.max_message_bytes = config.max_message_bytes
        """The longest request that the server accepts; of its pong, when there is one."""
        self.endpoint = endpoint
        self._retry_interval = config.retry_interval
        self._ids = itertools.count(1)
        self._pool = ChannelPool(context, endpoint, config)

    def open(
        self,
        limits: RequestLimits,
        *,
        check: Check = _ignore,
        explain: Explain = _keep,
        renews: bool = False,
    ) -> BlockingExchange:
        """Return an exchange, which starts now.

        Args:
            limits: how long it may take.
            check: called when a connection is refused or closed; raises when a retry is
                pointless, else the pending requests are sent again.
            explain: returns what to raise in place of an error that ends the exchange.
            renews: whether the deadline starts anew with each wait for replies.

        Raises:
            ValueError: a limit is NaN.
        """
        exchange = Exchange(
            self.endpoint,
            self._ids,
            self.max_message_bytes,
            limits,
            self._retry_interval,
            time.monotonic(),
            renews=renews,
        )
        return BlockingExchange(exchange, self._pool, check, explain)

    def wait_for_end(self, deadline: Deadline) -> bool:
        """Wait until the server closes its connections; False when the deadline passes first.

        Raises:
            NotConnected: the client was closed, before or meanwhile.
        """
        channel = self._pool.acquire()
        try:
            while True:
                outcome = channel.receive(deadline)
                if isinstance(outcome, bytes):
                    continue  # A late reply.
                if outcome is not Outcome.BUSY or deadline.expired:
                    return outcome not in STILL_THERE
                if not channel.reconnects_after(outcome):
                    channel = self._pool.replace(channel, ReconnectInterval.SLOW)
        except zmq.ContextTerminated:
            raise self._pool.not_connected() from None
        finally:
            self._pool.discard(channel)

    def close(self) -> None:
        """Close the connections; one in use by another thread is closed by that thread."""
        self._pool.close()
