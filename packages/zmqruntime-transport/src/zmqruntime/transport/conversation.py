"""What one call asks, and the connection over which it does, for as many tries as it takes.

REQ/REP alone does not survive a lost reply, so each further try goes out on a fresh socket
(zguide, ch. 4, "Lazy Pirate"). Every request of the protocol may be sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import zmq

from zmqruntime.messages import Reply, decode_reply
from zmqruntime.transport.channel import SILENCES, Outcome
from zmqruntime.transport.channel_pool import ChannelPool
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import ConnectionFailed, RequestTimeout, TransportError
from zmqruntime.transport.request_queue import RequestQueue

__all__ = ["Conversation"]

_MAX_DROPS = 3
"""How often in a row a connection may end without a reply."""
_LOOK_SECONDS = 0.001
"""How long requests may go out until it is looked for replies meanwhile."""
_AT_ONCE = Deadline(float("-inf"))
_DROPS = frozenset({Outcome.LOST, Outcome.DROPPED})


class Conversation:
    """Sends what is in a queue, and returns the replies.

    Args:
        pool: where the connections come from.
        endpoint: whose they are.
        queue: what to ask.
        patience: for how many seconds one try may be without a reply.
        make_deadline: makes the end of all tries together, each time that replies are waited for.
        on_broken: called whenever a connection is refused or has ended. It raises when there is
            no point in trying on; else what is unanswered goes out again.
    """

    def __init__(
        self,
        pool: ChannelPool,
        endpoint: Endpoint,
        queue: RequestQueue,
        patience: float,
        make_deadline: Callable[[], Deadline],
        on_broken: Callable[[Outcome], None],
    ) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._queue = queue
        self._patience = patience
        self._make_deadline = make_deadline
        self._on_broken = on_broken
        self._drops = 0

    def __enter__(self) -> Self:
        self._channel = self._pool.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._queue.done:
            self._pool.give_back(self._channel)
        else:
            self._pool.drop(self._channel)

    @property
    def is_over(self) -> bool:
        """Whether every request has its reply."""
        return self._queue.done

    def receive(self) -> list[tuple[int, Reply]]:
        """Return the next replies, each with its request's number, as soon as there are some.

        There may be none, when what came were other replies, or there was nothing left to ask.

        Raises what `ControlClient.exchange` does.
        """
        try:
            answers = self._send_new()
            if answers is None and self._queue.done:
                return []
            replies = list(self._queue.take_all(map(decode_reply, self._wait(answers))))
            if replies:
                self._drops = 0
            return replies
        except zmq.ContextTerminated:
            raise self._pool.not_connected() from None
        finally:
            self._pool.leave(self._channel)

    def _send_new(self) -> list[bytes] | Outcome | None:
        """Send what there is room for; return what comes meanwhile, where that takes a while."""
        looked = time.monotonic()
        while self._queue.has_room:
            self._pool.leave(self._channel)  # Whoever is asked for a request may take long.
            frame = self._queue.take()
            self._pool.enter(self._channel)
            if frame is None:
                break
            self._channel.send(frame)
            now = time.monotonic()
            if now - looked > _LOOK_SECONDS:
                looked = now
                answers = self._channel.receive_some(_AT_ONCE, self._queue.under_way)
                if not isinstance(answers, Outcome) or answers not in SILENCES:
                    return answers
        self._pool.enter(self._channel)
        return None

    def _wait(self, answers: list[bytes] | Outcome | None) -> list[bytes]:
        """Return replies, these or the next, on this connection or on another one."""
        deadline = self._make_deadline()
        until = deadline.within(self._patience)
        while True:
            if answers is None:
                answers = self._channel.receive_some(until, self._queue.under_way)
            if not isinstance(answers, Outcome):
                return answers
            if answers is Outcome.REFUSED and self._channel.patient and not until.expired:
                self._on_broken(answers)  # It goes on trying to connect.
            else:
                self._try_again(answers, deadline)
                until = deadline.within(self._patience)
            answers = None

    def _try_again(self, outcome: Outcome, deadline: Deadline) -> None:
        """Send what is unanswered on a fresh connection, if that makes sense."""
        if outcome in _DROPS:
            self._drops += 1
        if outcome is Outcome.FOREIGN:
            raise self._failure(outcome)
        if outcome not in SILENCES:
            self._on_broken(outcome)
        if self._drops > _MAX_DROPS or deadline.expired:
            raise self._failure(outcome)
        self._channel = self._pool.replace(self._channel)
        for frame in self._queue.unanswered:
            self._channel.send(frame)

    def _failure(self, outcome: Outcome) -> TransportError:
        asked = self._queue.first
        what = f"a {asked} request to {self._endpoint} was not answered: {outcome.value}"
        if outcome is Outcome.SILENCE:
            return RequestTimeout(f"{what}; what it asks may have been done")
        return RequestTimeout(what) if outcome in SILENCES else ConnectionFailed(what)
