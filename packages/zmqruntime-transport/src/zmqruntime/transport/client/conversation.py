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
from zmqruntime.messages.lowlevel import Outgoing
from zmqruntime.transport.client.channel import SILENCES, STILL_THERE, Outcome, Pace
from zmqruntime.transport.client.channel_pool import ChannelPool
from zmqruntime.transport.client.pending_requests import Sent, Unanswered
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import ConnectionFailed, RequestTimeout, TransportError

__all__ = ["Conversation"]

_MAX_DROPS = 3
"""How often in a row a connection may end without a reply."""
_LOOK_SECONDS = 0.001
"""How long requests may go out until it is looked for replies meanwhile."""
_AT_ONCE = Deadline(float("-inf"))
_DROPS = frozenset({Outcome.LOST, Outcome.DROPPED})

_Answers = list[tuple[Sent, Reply]]


class Conversation:
    """Sends requests, and returns their replies.

    The thread that has entered it is inside its connection until it leaves it.

    Args:
        pool: where the connections come from.
        endpoint: whose they are.
        unanswered: keeps what is under way.
        patience: for how many seconds one try may be without a reply.
        make_deadline: makes the end of all tries together, each time that replies are waited for.
        on_broken: called whenever a connection is refused or has ended. It raises when there is
            no point in trying on; else what is unanswered goes out again.
    """

    def __init__(
        self,
        pool: ChannelPool,
        endpoint: Endpoint,
        unanswered: Unanswered,
        patience: float,
        make_deadline: Callable[[], Deadline],
        on_broken: Callable[[Outcome], None],
    ) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._unanswered = unanswered
        self._patience = patience
        self._make_deadline = make_deadline
        self._on_broken = on_broken
        self._drops = 0
        self._began = self._looked = time.monotonic()

    def __enter__(self) -> Self:
        self._channel = self._pool.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._unanswered:
            self._pool.drop(self._channel)
        else:
            self._pool.give_back(self._channel)

    @property
    def under_way(self) -> int:
        """How many requests wait for their replies."""
        return len(self._unanswered)

    def enter(self) -> None:
        """Go on, after `leave`.

        Raises:
            NotConnected: the client was closed meanwhile.
        """
        self._pool.enter(self._channel)

    def leave(self) -> None:
        """Let the client be closed by others, while this thread does something else."""
        self._pool.leave(self._channel)

    def send(self, request: Outgoing) -> None:
        """Send a request.

        Raises:
            MessageTooLarge: the server would not take it.
            ValueError: it has the id of another that is under way.
            NotConnected: the client was closed.
        """
        frame = self._unanswered.add(request)
        try:
            self._channel.send(frame)
        except zmq.ContextTerminated:
            raise self._pool.not_connected() from None

    def receive(self) -> _Answers:
        """Return the next replies, with what they answer, as soon as there are some.

        There may be none, when what came were other replies.

        Raises what `ControlClient.exchange` does.
        """
        try:
            return self._match(self._wait(None))
        except zmq.ContextTerminated:
            raise self._pool.not_connected() from None

    def look(self) -> _Answers:
        """Return replies that came while requests go out, if that has taken a while.

        Raises what `receive` does.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return []
        self._looked = now
        try:
            found = self._channel.receive_some(_AT_ONCE, self.under_way)
            if isinstance(found, Outcome) and found in SILENCES:
                return []
            return self._match(self._wait(found))
        except zmq.ContextTerminated:
            raise self._pool.not_connected() from None

    def _match(self, frames: list[bytes]) -> _Answers:
        answers = []
        for reply in map(decode_reply, frames):
            sent = self._unanswered.match(reply)
            if sent is not None:
                answers.append((sent, reply))
                self._drops = 0
        return answers

    def _wait(self, found: list[bytes] | Outcome | None) -> list[bytes]:
        """Return replies, these or the next, on this connection or on another one."""
        deadline = self._make_deadline()
        until = deadline.within(self._patience)
        while True:
            if found is None:
                found = self._channel.receive_some(until, self.under_way)
            if not isinstance(found, Outcome):
                return found
            if self._channel.retries_after(found) and not until.expired:
                self._on_broken(found)  # It goes on trying to connect.
            else:
                self._try_again(found, deadline)
                until = deadline.within(self._patience)
            found = None

    def _try_again(self, outcome: Outcome, deadline: Deadline) -> None:
        """Send what is unanswered on a fresh connection, if that makes sense."""
        if outcome in _DROPS:
            self._drops += 1
        if outcome is Outcome.FOREIGN:
            raise self._failure(outcome, deadline)
        if outcome not in SILENCES:
            self._on_broken(outcome)
        if self._drops > _MAX_DROPS or deadline.expired:
            raise self._failure(outcome, deadline)
        pace = Pace.SLOW if outcome is Outcome.BUSY else Pace.QUICK
        self._channel = self._pool.replace(self._channel, pace)
        for frame in self._unanswered.frames:
            self._channel.send(frame)

    def _failure(self, outcome: Outcome, deadline: Deadline) -> TransportError:
        asked = self._unanswered.first
        reason = outcome.value
        if outcome in SILENCES and deadline.at <= self._began:  # The peer is not to blame.
            reason = "there was no time for an answer"
        what = f"a {asked} request to {self._endpoint} was not answered: {reason}"
        if outcome is Outcome.SILENCE:
            return RequestTimeout(f"{what}; what it asks may have been done")
        return RequestTimeout(what) if outcome in STILL_THERE else ConnectionFailed(what)
