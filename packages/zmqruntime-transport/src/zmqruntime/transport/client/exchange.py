"""Request-reply exchange: matching, retries and the deadline, without sockets, threads or clocks.

An exchange decides, and a shell acts: it owns the connection and the clock, sends the frames, and
reports what happens, replies to `Exchange.match` and everything else to `Exchange.recover`.
`blocking_exchange` is the shell that runs in the calling thread. One that serves many exchanges in
an I/O thread waits until the earliest `Exchange.retry_at`, and completes a future for each match.

REQ/REP alone does not survive a lost reply, so each retry uses a fresh socket (zguide, ch. 4,
"Lazy Pirate"). Every request of the protocol is safe to send twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from zmqruntime.messages import Reply, decode_reply
from zmqruntime.messages.lowlevel import Outgoing
from zmqruntime.transport.client.outcome import (
    DROPS,
    SILENCES,
    STILL_THERE,
    Outcome,
    ReconnectInterval,
)
from zmqruntime.transport.client.pending_requests import PendingRequests, SentRequest
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import ConnectionFailed, RequestTimeout, TransportError

__all__ = ["Answer", "Exchange", "RequestLimits", "Retry"]

_MAX_DROPS: Final = 3
"""How many connections in a row may be closed without a reply."""

Answer = tuple[SentRequest, Reply]
"""A request with its reply."""


class RequestLimits(NamedTuple):
    """How long an exchange may take, in seconds."""

    timeout: float
    """For all attempts together, in addition to ``hold``."""
    hold: float = 0.0
    """How long the server may hold its reply (long poll)."""

    @classmethod
    def until(cls, deadline: Deadline, hold: float = 0.0) -> RequestLimits:
        """Return the limits of an exchange that ends at a deadline, hold included."""
        return cls(deadline.remaining - hold, hold)


class Retry(NamedTuple):
    """Replace the connection by a fresh one, and send these frames on it."""

    interval: ReconnectInterval
    frames: list[bytes]


class Exchange:
    """The requests of one call, from their first send to their replies.

    Times are readings of the shell's monotonic clock, in seconds.

    Args:
        endpoint: the server's, for error messages.
        ids: numbers for the ids of requests that have none.
        max_message_bytes: the longest request that the server accepts.
        limits: how long it may take.
        retry_interval: how long a request waits for its reply, in addition to the hold, before
            it is sent again.
        now: the time at which it starts.
        renews: whether the deadline starts anew with each wait for replies, as for a pipeline.

    Raises:
        ValueError: a limit is NaN.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        ids: Iterator[int],
        max_message_bytes: int,
        limits: RequestLimits,
        retry_interval: float,
        now: float,
        *,
        renews: bool = False,
    ) -> None:
        seconds = limits.timeout + limits.hold
        if seconds != seconds:
            raise ValueError("timeout or hold is nan: it has to be a number of seconds")
        self._endpoint = endpoint
        self._seconds = seconds
        self._attempt_seconds = limits.hold + retry_interval
        self._renews = renews
        self._deadline = now + seconds
        self._drops = 0
        self._pending = PendingRequests(ids, max_message_bytes)
        self.retry_at = now
        """When to call `recover`, unless a reply comes earlier."""

    def __len__(self) -> int:
        """Return how many requests are pending."""
        return len(self._pending)

    def add(self, request: Outgoing) -> bytes:
        """Add a request and return the frame to send.

        Raises:
            MessageTooLarge: the frame is longer than the server accepts.
            ValueError: a pending request has the same id.
        """
        return self._pending.add(request)

    def start_wait(self, now: float) -> None:
        """Begin a wait for replies: sets `retry_at`."""
        if self._renews:
            self._deadline = now + self._seconds
        self.retry_at = min(self._deadline, now + self._attempt_seconds)

    def match(self, frames: Iterable[bytes]) -> list[Answer]:
        """Decode replies and return them with their requests; drops late and duplicate ones.

        Raises:
            MessageError: a frame is not a reply of the protocol.
        """
        answers = []
        for frame in frames:
            reply = decode_reply(frame)
            sent = self._pending.match(reply)
            if sent is not None:
                answers.append((sent, reply))
                self._drops = 0
        return answers

    def recover(self, outcome: Outcome, now: float, *, reconnects: bool) -> Retry | None:
        """Decide what follows a wait that ended without a reply.

        Args:
            outcome: how it ended.
            now: the time.
            reconnects: whether the socket is connecting again after this outcome.

        Returns:
            The retry; None to go on waiting on the same connection.

        Raises:
            RequestTimeout: the deadline has passed; the server may still reply.
            ConnectionFailed: the deadline has passed, or no retry can help.
        """
        if reconnects and now < self.retry_at:
            return None
        if outcome in DROPS:
            self._drops += 1
        if outcome is Outcome.FOREIGN or self._drops > _MAX_DROPS or now >= self._deadline:
            raise self._make_error(outcome)
        self.retry_at = min(self._deadline, now + self._attempt_seconds)
        is_busy = outcome is Outcome.BUSY
        interval = ReconnectInterval.SLOW if is_busy else ReconnectInterval.QUICK
        return Retry(interval, self._pending.frames)

    def _make_error(self, outcome: Outcome) -> TransportError:
        reason = outcome.value
        if outcome in SILENCES and self._seconds <= 0:  # The peer is not to blame.
            reason = "the timeout leaves no time for a reply"
        what = f"the {self._pending.oldest_type} request to {self._endpoint} failed: {reason}"
        if outcome is Outcome.SILENCE:
            return RequestTimeout(f"{what}; the server may have executed it")
        return RequestTimeout(what) if outcome in STILL_THERE else ConnectionFailed(what)
