"""Replies about executions, and the union of all replies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zmqruntime.messages.base import ExecutionId
from zmqruntime.messages.events import Event
from zmqruntime.messages.records import (
    ExecutionRecord,
    QueuedExecutionInfo,
    RunningExecutionInfo,
)
from zmqruntime.messages.server_replies import (
    Count,
    ErrorReply,
    OkReply,
    PongReply,
    ReplyModel,
    ShutdownAckReply,
)
from zmqruntime.messages.status import ExecutionStatus

__all__ = ["AcceptedReply", "ExecutionStatusSnapshot", "KeptEventsReply", "LogReply", "Reply"]


class AcceptedReply(ReplyModel):
    """Acceptance of an ``execute``: the server owns the execution from now on."""

    type: Literal["accepted"] = "accepted"
    status: Literal["accepted"] = "accepted"
    execution_id: ExecutionId
    queue_position: Annotated[int, Field(ge=1)] | None = None
    """1 is next; null when the execution is no longer queued."""
    duplicate: bool = False
    """Whether the same request was accepted before; nothing was enqueued."""
    execution: ExecutionRecord | None = None
    """The record, when the request had ``wait_seconds``; final unless the wait timed out."""


class ExecutionStatusSnapshot(ReplyModel):
    """One execution, when the request named it; otherwise one page of the server's queue."""

    type: Literal["snapshot"] = "snapshot"
    status: Literal["ok"] = "ok"
    execution: ExecutionRecord | None = None
    running_executions: tuple[RunningExecutionInfo, ...] = ()
    queued_executions: tuple[QueuedExecutionInfo, ...] = ()
    counts: dict[ExecutionStatus, Count] = Field(default_factory=dict)
    cursor: str | None = None
    """The ``cursor`` of the request for the next page; null on the last page."""
    also: tuple[ExecutionRecord, ...] = ()
    """Final records of the further executions in the request, as many as fit."""


class KeptEventsReply(ReplyModel):
    """Buffered events of an execution, contiguous and in order.

    More follow when the last event's sequence is less than ``last_sequence``.
    """

    type: Literal["kept_events"] = "kept_events"
    status: Literal["ok"] = "ok"
    execution_id: ExecutionId
    events: tuple[Event, ...] = ()
    first_kept_sequence: Annotated[int, Field(ge=1)] | None = None
    """Sequence of the oldest buffered event; null when the buffer is empty."""
    last_sequence: Count
    """Sequence of the latest event, buffered or evicted."""


class LogReply(ReplyModel):
    """Tail of a task's stdout and stderr."""

    type: Literal["log"] = "log"
    status: Literal["ok"] = "ok"
    execution_id: ExecutionId
    text: str
    """Decoded as UTF-8; invalid bytes are replaced by U+FFFD."""
    size_bytes: Count
    """The length of the whole log."""


Reply = Annotated[
    PongReply
    | AcceptedReply
    | ExecutionStatusSnapshot
    | OkReply
    | KeptEventsReply
    | LogReply
    | ShutdownAckReply
    | ErrorReply,
    Field(discriminator="type"),
]
"""Any reply of the control channel."""
