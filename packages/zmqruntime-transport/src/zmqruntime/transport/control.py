"""Requests and their replies, from any thread, over as many tries as the time allows.

REQ/REP alone does not survive a lost reply, so each further try goes out on a fresh socket
(zguide, ch. 4, "Lazy Pirate"). Every request of the protocol may be sent twice.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence

import zmq

from zmqruntime.messages import Reply, Request, decode_reply, encode_with_id
from zmqruntime.transport.channel import Channel, Outcome
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import (
    ConnectionFailed,
    MessageTooLarge,
    NotConnected,
    RequestTimeout,
    TransportError,
)

__all__ = ["ControlClient"]

_MAX_DROPS = 3
"""How often one request may end its connection before it is given up."""
_DROPS = frozenset({Outcome.LOST, Outcome.DROPPED})
_SILENCES = frozenset({Outcome.SILENCE, Outcome.UNGREETED})


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
        self._context = context
        self._endpoint = endpoint
        self._config = config
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._idle: list[Channel] = []
        self._channels: weakref.WeakSet[Channel] = weakref.WeakSet()
        self._closed = False

    def request(
        self,
        request: Request,
        deadline: Deadline,
        *,
        hold: float = 0.0,
        on_broken: Callable[[Outcome], None] = _nothing,
    ) -> Reply:
        """Send a request and return its reply; see `exchange`."""
        return self.exchange((request,), deadline, hold=hold, on_broken=on_broken)[0]

    def exchange(
        self,
        requests: Sequence[Request],
        deadline: Deadline,
        *,
        hold: float = 0.0,
        on_broken: Callable[[Outcome], None] = _nothing,
    ) -> list[Reply]:
        """Send requests one behind the other and return their replies, in the same order.

        The server takes them in this order, without a round trip between them.

        Args:
            requests: what to ask. Asking it twice has to be safe.
            deadline: the end of all tries together.
            hold: how long, in seconds, the server was asked to hold a reply.
            on_broken: called whenever a connection is refused or has ended. It raises when
                there is no point in trying on; else what is unanswered goes out again.

        Raises:
            RequestTimeout: no reply in time, though something listens.
            ConnectionFailed: nobody listens, or nobody who speaks this protocol.
            NotConnected: the client was closed, before or meanwhile.
            MessageTooLarge: the server would not take it.
            MessageError: the reply is none of this protocol's.
        """
        exchange = _Exchange(requests, self._numbers)
        for request, frame in exchange.unanswered:
            self._check_size(request, frame)
        drops = 0
        channel: Channel | None = None
        try:
            channel = self._take()
            while True:
                patience = hold + self._config.retry_interval
                outcome = self._try(channel, exchange, deadline, patience, on_broken)
                if outcome is None:
                    return exchange.replies()
                if outcome in _DROPS:
                    drops += 1
                request, _ = next(iter(exchange.unanswered))
                if outcome is Outcome.FOREIGN:
                    raise self._failure(request, outcome)
                if outcome not in _SILENCES:
                    on_broken(outcome)
                if drops > _MAX_DROPS or deadline.expired:
                    raise self._failure(request, outcome)
                channel.close()
                channel = self._open(patient=True)
        except zmq.ContextTerminated:
            raise self._not_connected() from None
        finally:
            if channel is not None:
                if exchange.done:
                    self._give_back(channel)
                else:
                    channel.close()

    def wait_for_end(self, deadline: Deadline) -> bool:
        """Wait until the server ends its connections; False when it has not in time.

        Raises:
            NotConnected: the client was closed, before or meanwhile.
        """
        channel: Channel | None = None
        try:
            channel = self._take()
            while isinstance(outcome := channel.receive(deadline), bytes):
                pass  # A reply that nobody has waited for.
            return outcome not in _SILENCES
        except zmq.ContextTerminated:
            raise self._not_connected() from None
        finally:
            if channel is not None:
                channel.close()

    def close(self) -> None:
        """Close the idle connections; each one in use is closed by the thread that uses it."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            # What an interrupted exchange of this thread may have left: nobody uses it any more.
            here = threading.get_ident()
            left = [channel for channel in self._channels if channel.owner == here]
        for channel in (*idle, *left):
            channel.close()

    def close_left(self) -> None:
        """Close every connection, also what an interrupted exchange of another thread left.

        For when the context has ended so long ago that no thread can be inside any more.
        """
        with self._lock:
            left = list(self._channels)
        for channel in left:
            channel.close()

    def _try(
        self,
        channel: Channel,
        exchange: _Exchange,
        deadline: Deadline,
        patience: float,
        on_broken: Callable[[Outcome], None],
    ) -> Outcome | None:
        """Send what is unanswered and wait; say what went wrong, if anything did."""
        until = deadline.within(patience)
        for _, frame in exchange.unanswered:
            channel.send(frame)
        while not exchange.done:
            answer = channel.receive(until)
            if answer is Outcome.REFUSED and channel.patient and not until.expired:
                on_broken(answer)
            elif isinstance(answer, Outcome):
                return answer
            else:
                exchange.take(decode_reply(answer))
                until = deadline.within(patience)
        return None

    def _take(self) -> Channel:
        with self._lock:
            if self._idle:
                channel = self._idle.pop()
                channel.owner = threading.get_ident()
                return channel
        return self._open(patient=False)

    def _open(self, *, patient: bool) -> Channel:
        with self._lock:
            if self._closed:
                raise self._not_connected()
            channel = Channel(self._context, self._endpoint, self._config, patient=patient)
            self._channels.add(channel)
            return channel

    def _give_back(self, channel: Channel) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(channel)
                return
        channel.close()

    def _check_size(self, request: Request, frame: bytes) -> None:
        if len(frame) > self.max_message_bytes:
            raise MessageTooLarge(
                f"the {request.type} request is {len(frame):,} bytes long and the server takes "
                f"{self.max_message_bytes:,}: send a path or a key instead of the data, or "
                "raise ZMQConfig(max_message_bytes=...) on both sides"
            )

    def _failure(self, request: Request, outcome: Outcome) -> TransportError:
        what = f"a {request.type} request to {self._endpoint} was not answered: {outcome.value}"
        if outcome is Outcome.SILENCE:
            return RequestTimeout(f"{what}; what it asks may have been done")
        return RequestTimeout(what) if outcome in _SILENCES else ConnectionFailed(what)

    def _not_connected(self) -> NotConnected:
        return NotConnected(f"the client of {self._endpoint} is not connected")


class _Exchange:
    """Requests under way together, and the replies that have come."""

    def __init__(self, requests: Sequence[Request], numbers: Iterator[int]) -> None:
        self._pending: dict[str, tuple[Request, bytes]] = {}
        for request in requests:
            request_id = request.request_id
            if request_id is None:
                request_id = f"#{next(numbers)}"
            self._pending[request_id] = request, encode_with_id(request, request_id)
        if len(self._pending) < len(requests):
            raise ValueError("two requests have one request_id; leave it out to have them made")
        self._order = tuple(self._pending)
        self._replies: dict[str, Reply] = {}

    @property
    def done(self) -> bool:
        """Whether every request has its reply."""
        return not self._pending

    @property
    def unanswered(self) -> Collection[tuple[Request, bytes]]:
        """The requests without a reply, each with its frame."""
        return self._pending.values()

    def take(self, reply: Reply) -> None:
        """Take a reply; one to none of the requests is ignored."""
        request_id = reply.request_id
        if request_id is None:  # From a server that could not read the id, or keeps it.
            request_id = next(iter(self._pending))
        if self._pending.pop(request_id, None) is not None:
            self._replies[request_id] = reply

    def replies(self) -> list[Reply]:
        """Return the replies in the order of the requests."""
        return [self._replies[request_id] for request_id in self._order]
