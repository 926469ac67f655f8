"""Requests and their replies, from any thread, over as many tries as the time allows.

REQ/REP alone does not survive a lost reply, so each further try goes out on a fresh socket
(zguide, ch. 4, "Lazy Pirate"). Every request of the protocol may be sent twice.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import zmq

from zmqruntime.messages import Reply, Request, decode_reply, encode
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
        self._closed = False

    def request(
        self,
        request: Request,
        deadline: Deadline,
        *,
        hold: float = 0.0,
        on_broken: Callable[[Outcome], None] = _nothing,
    ) -> Reply:
        """Send a request and return its reply.

        Args:
            request: what to ask. Asking it twice has to be safe.
            deadline: the end of all tries together.
            hold: how long, in seconds, the server was asked to hold the reply.
            on_broken: called whenever a connection is refused or has ended. It raises when
                there is no point in trying on; else the request goes out again.

        Raises:
            RequestTimeout: no reply in time, though something listens.
            ConnectionFailed: nobody listens, or nobody who speaks this protocol.
            NotConnected: the client was closed, before or meanwhile.
            MessageTooLarge: the server would not take it.
            MessageError: the reply is none of this protocol's.
        """
        request_id = request.request_id or str(next(self._numbers))
        request = request.model_copy(update={"request_id": request_id})
        frame = encode(request)
        self._check_size(request, frame)
        drops = 0
        try:
            channel = self._take()
            while True:
                until = deadline.within(hold + self._config.retry_interval)
                answer = self._try(channel, request, frame, until, on_broken)
                if not isinstance(answer, Outcome):
                    self._give_back(channel)
                    return answer
                if answer in _DROPS:
                    drops += 1
                if answer is Outcome.FOREIGN:
                    raise self._failure(request, answer)
                if answer not in _SILENCES:
                    on_broken(answer)
                if drops > _MAX_DROPS or deadline.expired:
                    raise self._failure(request, answer)
                channel = self._open(patient=True)
        except zmq.ContextTerminated:
            raise self._not_connected() from None

    def close(self) -> None:
        """Close the idle connections; each one in use is closed by the thread that uses it."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for channel in idle:
            channel.close()

    def _try(
        self,
        channel: Channel,
        request: Request,
        frame: bytes,
        until: Deadline,
        on_broken: Callable[[Outcome], None],
    ) -> Reply | Outcome:
        """Send once and wait; a channel that brought no reply is closed on the way out."""
        done = False
        try:
            channel.send(frame)
            while True:
                answer = channel.receive(until)
                if answer is Outcome.REFUSED and channel.patient and not until.expired:
                    on_broken(answer)
                elif isinstance(answer, Outcome):
                    return answer
                elif (reply := decode_reply(answer)).request_id in (request.request_id, None):
                    done = True
                    return reply
        finally:
            if not done:
                channel.close()

    def _take(self) -> Channel:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._open(patient=False)

    def _open(self, *, patient: bool) -> Channel:
        with self._lock:
            if self._closed:
                raise self._not_connected()
            return Channel(self._context, self._endpoint, self._config, patient=patient)

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
