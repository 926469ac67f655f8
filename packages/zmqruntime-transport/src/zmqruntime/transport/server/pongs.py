"""Composes pongs, and encodes their content again only when it has changed."""

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
    """The executions and workers of a pong; see the fields of `PongReply`."""

    running_executions: tuple[RunningExecutionInfo, ...] = ()
    queued_executions: tuple[QueuedExecutionInfo, ...] = ()
    running_count: int = 0
    queued_count: int = 0
    workers: tuple[WorkerInfo, ...] = ()
    durable: bool = False
    worker_error: str | None = None


class Pongs:
    """Composes the pongs of one server, whose uptime begins now.

    Args:
        fixed: the constant fields of its `PongReply`.
    """

    def __init__(self, **fixed: Any) -> None:
        self._fixed = fixed
        self._started_at = time.time()
        self._encoded: object = None
        self._tail = b""

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
        """Return the encoded reply to a ping.

        Raises:
            TypeError: the application's ``details`` are not JSON; names the part.
        """
        # Compared as encoded: the application may have changed its object in place.
        subscribers = progress_subscribers, progress_subscriber_count
        now = ready, _encode(details), subscribers, work
        if now != self._encoded:
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
            self._tail = encode(reply, _CHANGES_ALWAYS)[1:]
            self._encoded = now
        uptime = max(0.0, time.time() - self._started_at)
        head = b'{"request_id":%b,"uptime_seconds":%a,'
        return head % (encode_json(request_id), uptime) + self._tail


def _encode(details: object) -> bytes:
    try:
        return encode_json(details, "details")
    except DecodeError as error:
        raise TypeError(error.message) from None  # Not an error of the ping.
