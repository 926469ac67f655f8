"""Requests and their replies, from any thread, over as many tries as the time allows.

REQ/REP alone does not survive a lost reply, so each further try goes out on a fresh socket
(zguide, ch. 4, "Lazy Pirate"). Every request of the protocol may be sent twice.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence

import zmq

from zmqruntime.messages import Reply, Request, decode_reply
from zmqruntime.transport.channel import Channel, Outcome
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import (
    ConnectionFailed,
    NotConnected,
    RequestTimeout,
    TransportError,
)
from zmqruntime.transport.request_queue import RequestQueue

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
        window = max(1, len(requests))
        queue = RequestQueue(requests, self._numbers, window, self.max_message_bytes)
        replies = dict(self._replies(queue, lambda: deadline, hold, on_broken))
        return [replies[number] for number in range(len(requests))]

    def pipeline(
        self,
        requests: Iterable[Request],
        seconds: float,
        *,
        window: int,
        hold: float = 0.0,
        on_broken: Callable[[Outcome], None] = _nothing,
    ) -> Iterator[tuple[Request, Reply]]:
        """Yield each request with its reply, as that comes; raises as `exchange` does.

        Args:
            requests: asked for a further one when there is room for it.
            seconds: how long there may be no reply at all, beside ``hold``.
            window: how many requests may be under way.
            hold: how long, in seconds, the server was asked to hold each reply.
            on_broken: see `exchange`.
        """
        asked: dict[int, Request] = {}

        def numbered() -> Iterator[Request]:
            for number, request in enumerate(requests):
                asked[number] = request
                yield request

        queue = RequestQueue(numbered(), self._numbers, window, self.max_message_bytes)
        for number, reply in self._replies(
            queue, lambda: Deadline.after(seconds + hold), hold, on_broken
        ):
            yield asked.pop(number), reply

    def _replies(
        self,
        queue: RequestQueue,
        make_deadline: Callable[[], Deadline],
        hold: float,
        on_broken: Callable[[Outcome], None],
    ) -> Iterator[tuple[int, Reply]]:
        """Yield the replies to what is in a queue, by number, over as many tries as it takes."""
        patience = hold + self._config.retry_interval
        frames = queue.fill()
        drops = 0
        channel: Channel | None = None
        try:
            channel = self._take()
            deadline = make_deadline()
            while not queue.done:
                until = deadline.within(patience)
                outcome: Outcome | None = None
                while outcome is None and not queue.done:
                    for frame in frames:
                        channel.send(frame)
                    frames = []
                    answers = channel.receive_some(until, queue.under_way)
                    if answers is Outcome.REFUSED and channel.patient and not until.expired:
                        on_broken(answers)
                    elif isinstance(answers, Outcome):
                        outcome = answers
                    else:
                        yield from queue.take_all(map(decode_reply, answers))
                        frames = queue.fill()
                        deadline = make_deadline()
                        until = deadline.within(patience)
                if outcome is None:
                    return
                if outcome in _DROPS:
                    drops += 1
                if outcome is Outcome.FOREIGN:
                    raise self._failure(queue.first, outcome)
                if outcome not in _SILENCES:
                    on_broken(outcome)
                if drops > _MAX_DROPS or deadline.expired:
                    raise self._failure(queue.first, outcome)
                channel.close()
                channel = self._open(patient=True)
                frames = queue.unanswered
        except zmq.ContextTerminated:
            raise self._not_connected() from None
        finally:
            if channel is not None:
                if queue.done:
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

    def _failure(self, asked: str, outcome: Outcome) -> TransportError:
        what = f"a {asked} request to {self._endpoint} was not answered: {outcome.value}"
        if outcome is Outcome.SILENCE:
            return RequestTimeout(f"{what}; what it asks may have been done")
        return RequestTimeout(what) if outcome in _SILENCES else ConnectionFailed(what)

    def _not_connected(self) -> NotConnected:
        return NotConnected(f"the client of {self._endpoint} is not connected")
