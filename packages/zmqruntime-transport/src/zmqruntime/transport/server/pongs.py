"""What a server says of itself, encoded again only where it has changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from zmqruntime.messages import DecodeError, PongReply, encode
from zmqruntime.messages.lowlevel import encode_json

if TYPE_CHECKING:
    from zmqruntime.messages import (
        ClientId,
        JsonObject,
        QueuedExecutionInfo,
        RunningExecutionInfo,
        WorkerInfo,
    )

__all__ = ["Pongs", "WorkSummary"]

_CHANGES_ALWAYS = {"request_id", "uptime_seconds"}


class WorkSummary(NamedTuple):
    """What a pong tells of executions and workers; see the fields of `PongReply`."""

    running_executions: tuple[RunningExecutionInfo, ...] = ()
    queued_executions: tuple[QueuedExecutionInfo, ...] = ()
    running_count: int = 0
    queued_count: int = 0
    workers: tuple[WorkerInfo, ...] = ()
    durable: bool = False
    worker_error: str | None = None


class Pongs:
    """Composes the pongs of one server, which began now.

    Args:
        fixed: the fields of a `PongReply` that stay as they are.
    """

    def __init__(self, **fixed: Any) -> None:
        self._fixed = fixed
        self._started_at = time.time()
        self._told: object = None
        self._rest = b""

    def compose(
        self,
        request_id: str | None,
        *,
        ready: bool,
        details: JsonObject,
        progress_subscribers: tuple[ClientId, ...],
        progress_subscriber_count: int,
        work: WorkSummary,
    ) -> bytes:
        """Return the reply to a ping that has this ``request_id``; the rest is as it is now.

        Raises:
            TypeError: the application's ``details`` are not JSON; the error names the part.
        """
        # The application may change what it has given before: of that, what is written counts.
        subscribers = progress_subscribers, progress_subscriber_count
        now = ready, _encode(details), subscribers, work
        if now != self._told:
            reply = PongReply(
                started_at=self._started_at,
                uptime_seconds=0.0,
                ready=ready,
                details=details,
                progress_subscribers=progress_subscribers,
                progress_subscriber_count=progress_subscriber_count,
                **self._fixed,
                **work._asdict(),
            )
            self._rest = encode(reply, _CHANGES_ALWAYS)[1:]
            self._told = now
        uptime = max(0.0, time.time() - self._started_at)
        head = b'{"request_id":%b,"uptime_seconds":%a,'
        return head % (encode_json(request_id), uptime) + self._rest


def _encode(details: object) -> bytes:
    try:
        return encode_json(details, "details")
    except DecodeError as error:
        raise TypeError(error.message) from None  # No fault of the ping's.
