"""What a server answers on the control channel: exactly one of these to every request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zmqruntime.messages.base import (
    PROTOCOL_VERSION,
    ClientId,
    ExecutionId,
    Model,
    Timestamp,
    UnknownMeans,
)
from zmqruntime.messages.errors import ErrorCode
from zmqruntime.messages.events import Event
from zmqruntime.messages.json_value import JsonObject
from zmqruntime.messages.records import (
    ExecutionRecord,
    ProcessInfo,
    QueuedExecutionInfo,
    RunningExecutionInfo,
    WorkerInfo,
)
from zmqruntime.messages.status import ExecutionStatus, ShutdownMode

__all__ = [
    "AcceptedReply",
    "ErrorDetail",
    "ErrorReply",
    "ExecutionStatusSnapshot",
    "KeptEventsReply",
    "LogReply",
    "OkReply",
    "PongReply",
    "Reply",
    "ShutdownAckReply",
]

_Count = Annotated[int, Field(ge=0)]


class _Reply(Model):
    protocol: Annotated[int, Field(ge=1, le=PROTOCOL_VERSION)] = PROTOCOL_VERSION
    request_id: str | None = None
    """The request's own."""


class PongReply(_Reply):
    """The server is there. What this costs does not grow with the queue or with history."""

    type: Literal["pong"] = "pong"
    status: Literal["ok"] = "ok"
    ready: bool
    """Whether a task submitted now would start without waiting for a worker's start-up."""
    server: str
    """The name of the server's class."""
    version: str
    """The server's distribution version."""
    port: _Count
    control_port: _Count
    process: ProcessInfo
    started_at: Timestamp
    uptime_seconds: Annotated[float, Field(ge=0)]
    running_executions: tuple[RunningExecutionInfo, ...] = ()
    queued_executions: tuple[QueuedExecutionInfo, ...] = ()
    running_count: _Count = 0
    queued_count: _Count = 0
    workers: tuple[WorkerInfo, ...] = ()
    progress_subscribers: tuple[ClientId, ...] = ()
    max_message_bytes: Annotated[int, Field(gt=0)]
    durable: bool = False
    """Whether what it has accepted outlives its process: a server started again has it."""
    log_file_path: str | None = None
    details: JsonObject = Field(default_factory=dict)
    """The application's own."""


class AcceptedReply(_Reply):
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


class ExecutionStatusSnapshot(_Reply):
    """One execution, when the request named it; else the server's queue, page by page."""

    type: Literal["snapshot"] = "snapshot"
    status: Literal["ok"] = "ok"
    execution: ExecutionRecord | None = None
    running_executions: tuple[RunningExecutionInfo, ...] = ()
    queued_executions: tuple[QueuedExecutionInfo, ...] = ()
    counts: dict[ExecutionStatus, _Count] = Field(default_factory=dict)
    cursor: str | None = None
    """Ask again with it for the next page; absent on the last one."""


class OkReply(_Reply):
    """Done, in the request's own terms."""

    type: Literal["ok"] = "ok"
    status: Literal["ok"] = "ok"
    client_id: ClientId | None = None
    progress_subscribers: tuple[ClientId, ...] | None = None
    execution_id: ExecutionId | None = None
    execution_status: ExecutionStatus | None = None
    """The cancelled execution's status now: a running one ends a moment later."""


class KeptEventsReply(_Reply):
    """Some of an execution's events, in order and without a gap between them.

    There are more when the last of them is not ``last_sequence``.
    """

    type: Literal["kept_events"] = "kept_events"
    status: Literal["ok"] = "ok"
    execution_id: ExecutionId
    events: tuple[Event, ...] = ()
    first_kept_sequence: Annotated[int, Field(ge=1)] | None = None
    """What comes before it is not kept any more; absent when none is kept."""
    last_sequence: _Count
    """The number of its latest event, kept or not."""


class LogReply(_Reply):
    """The end of what a task wrote to its stdout and stderr."""

    type: Literal["log"] = "log"
    status: Literal["ok"] = "ok"
    execution_id: ExecutionId
    text: str
    """Read as UTF-8, with a mark for each byte that is none."""
    size_bytes: _Count
    """Of all that is kept of it."""


class ShutdownAckReply(_Reply):
    """The server ends, in the ``mode`` that was asked."""

    type: Literal["shutdown_ack"] = "shutdown_ack"
    status: Literal["ok"] = "ok"
    mode: ShutdownMode


class ErrorDetail(Model):
    """One field of the request that was at fault."""

    field: str
    message: str


class ErrorReply(_Reply):
    """Refused, and why, in a sentence that a person can act on."""

    type: Literal["error"] = "error"
    status: Literal["error"] = "error"
    code: Annotated[ErrorCode, UnknownMeans(ErrorCode.INTERNAL)]
    message: str
    details: tuple[ErrorDetail, ...] = ()


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
