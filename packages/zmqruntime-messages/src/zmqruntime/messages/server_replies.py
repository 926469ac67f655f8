"""Replies of every server, with or without executions. A server loads no other replies at start."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zmqruntime.messages.base import (
    PROTOCOL_VERSION,
    ClientId,
    ExecutionId,
    Model,
    Timestamp,
    UnknownAs,
)
from zmqruntime.messages.errors import ErrorCode
from zmqruntime.messages.json_value import JsonObject
from zmqruntime.messages.records import QueuedExecutionInfo, RunningExecutionInfo
from zmqruntime.messages.status import ExecutionStatus, ShutdownMode

__all__ = [
    "ApplicationInfo",
    "ErrorDetail",
    "ErrorReply",
    "OkReply",
    "PongReply",
    "ProcessInfo",
    "ShutdownAckReply",
    "WorkerInfo",
]

Count = Annotated[int, Field(ge=0)]


class ReplyModel(Model):
    """Common fields of all replies."""

    protocol: Annotated[int, Field(ge=1, le=PROTOCOL_VERSION)] = PROTOCOL_VERSION
    request_id: str | None = None
    """The ``request_id`` of the request."""


class ApplicationInfo(Model):
    """The application that a server runs. Digests are opaque: compare them for equality only."""

    class_path: str
    """The server's class, as ``module:Class``."""
    version: str = ""
    """The application's version, or an empty string."""
    code_digest: str | None = None
    """Digest of the application's source files at the server's start."""
    arguments_digest: str | None = None
    """Digest of the launcher's arguments for the server; null without arguments or launcher."""
    origin_digest: str | None = None
    """Digest of the path of the source file of the server's class; null without a file."""


class ProcessInfo(Model):
    """Identity of a process: pids are reused, a pid with its creation time is unique."""

    pid: Annotated[int, Field(gt=0)]
    create_time: Timestamp


class WorkerInfo(Model):
    """A worker process: its resource usage and its current execution."""

    pid: Annotated[int, Field(gt=0)]
    cpu_percent: Annotated[float, Field(ge=0)] | None = None
    """Percent of one core, since the server's previous sample."""
    memory_bytes: Annotated[int, Field(ge=0)] | None = None
    """Resident set size."""
    execution_id: ExecutionId | None = None


class PongReply(ReplyModel):
    """State of the server. Its cost is independent of the queue's and the history's length."""

    type: Literal["pong"] = "pong"
    status: Literal["ok"] = "ok"
    ready: bool
    """Whether a task submitted now would start without waiting for a worker's start."""
    server: str
    """The name of the server's class."""
    version: str
    """The version of the server's distribution."""
    port: Count
    control_port: Count
    process: ProcessInfo
    started_at: Timestamp
    uptime_seconds: Annotated[float, Field(ge=0)]
    running_executions: tuple[RunningExecutionInfo, ...] = ()
    queued_executions: tuple[QueuedExecutionInfo, ...] = ()
    running_count: Count = 0
    queued_count: Count = 0
    workers: tuple[WorkerInfo, ...] = ()
    worker_error: str | None = None
    """Why the latest start of a worker failed, at most 2,000 characters; null when a worker is
    ready."""
    progress_subscribers: tuple[ClientId, ...] = ()
    """Registered clients, at most 100."""
    progress_subscriber_count: Count = 0
    """The number of registered clients, including those not listed."""
    max_message_bytes: Annotated[int, Field(gt=0)]
    durable: bool = False
    """Whether accepted executions survive the server's process (journal)."""
    log_file_path: str | None = None
    details: JsonObject = Field(default_factory=dict)
    """Application-defined."""
    application: ApplicationInfo | None = None
    """The server's application, so that a client detects a mismatch; null when unknown."""


class OkReply(ReplyModel):
    """Success of a ``cancel``, a ``register_progress`` or an ``unregister_progress``."""

    type: Literal["ok"] = "ok"
    status: Literal["ok"] = "ok"
    client_id: ClientId | None = None
    progress_subscribers: tuple[ClientId, ...] | None = None
    """Registered clients, at most 100."""
    progress_subscriber_count: Count | None = None
    """The number of registered clients, including those not listed."""
    execution_id: ExecutionId | None = None
    execution_status: ExecutionStatus | None = None
    """The status of the cancelled execution; a running one ends later."""


class ShutdownAckReply(ReplyModel):
    """Acknowledgement of a ``shutdown``, sent before the server stops."""

    type: Literal["shutdown_ack"] = "shutdown_ack"
    status: Literal["ok"] = "ok"
    mode: ShutdownMode


class ErrorDetail(Model):
    """An invalid field of the request."""

    field: str
    message: str


class ErrorReply(ReplyModel):
    """Rejection of a request: a code for programs and an actionable message for people."""

    type: Literal["error"] = "error"
    status: Literal["error"] = "error"
    code: Annotated[ErrorCode, UnknownAs(ErrorCode.INTERNAL)]
    message: str
    details: tuple[ErrorDetail, ...] = ()
