"""What a server answers on the control channel: exactly one of these to every request."""

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
    """The execution is in the server's care."""

    type: Literal["accepted"] = "accepted"
    status: Literal["accepted"] = "accepted"
    execution_id: ExecutionId
    queue_position: Annotated[int, Field(ge=1)] | None = None
    """1 = next; absent when a duplicate is no longer queued."""
    duplicate: bool = False
    """The same request had been accepted before; nothing was enqueued."""
    execution: ExecutionRecord | None = None
    """The record, when the request has asked to wait: final, unless that took too long."""


class ExecutionStatusSnapshot(ReplyModel):
    """One execution, when the request named it; else the server's queue, page by page."""

    type: Literal["snapshot"] = "snapshot"
    status: Literal["ok"] = "ok"
    execution: ExecutionRecord | None = None
    running_executions: tuple[RunningExecutionInfo, ...] = ()
    queued_executions: tuple[QueuedExecutionInfo, ...] = ()
    counts: dict[ExecutionStatus, Count] = Field(default_factory=dict)
    cursor: str | None = None
    """Ask again with it for the next page; absent on the last one."""
    also: tuple[ExecutionRecord, ...] = ()
    """Final records of the further executions that the request named, as many as fit in."""


class KeptEventsReply(ReplyModel):
    """Some of an execution's events, in order and without a gap between them.

    There are more when the last of them is not ``last_sequence``.
    """

    type: Literal["kept_events"] = "kept_events"
    status: Literal["ok"] = "ok"
    execution_id: ExecutionId
    events: tuple[Event, ...] = ()
    first_kept_sequence: Annotated[int, Field(ge=1)] | None = None
    """What comes before it is not kept any more; absent when none is kept."""
    last_sequence: Count
    """The number of its latest event, kept or not."""


class LogReply(ReplyModel):
    """The end of what a task wrote to its stdout and stderr."""

    type: Literal["log"] = "log"
    status: Literal["ok"] = "ok"
    execution_id: ExecutionId
    text: str
    """Read as UTF-8, with a mark for each byte that is none."""
    size_bytes: Count
    """Of all that is kept of it."""


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
