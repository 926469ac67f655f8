"""What every server answers, whatever it is for. Apart, since a server's start needs no more."""

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
    """What all replies have."""

    protocol: Annotated[int, Field(ge=1, le=PROTOCOL_VERSION)] = PROTOCOL_VERSION
    request_id: str | None = None
    """The request's own."""


class ApplicationInfo(Model):
    """Which application a server runs. Digests are opaque: compare them for equality only."""

    class_path: str
    """The server's class, as ``module:Class``."""
    version: str = ""
    """The application's own version; empty where it has none."""
    code_digest: str | None = None
    """Of the source files of the application as they were at the server's start."""
    arguments_digest: str | None = None
    """Of what its launcher was given for it; null where that was nothing, or no launcher."""
    origin_digest: str | None = None
    """Of the path of the source file of its class; null where it has none."""


class ProcessInfo(Model):
    """One process, exactly: a pid alone may have been given to another since."""

    pid: Annotated[int, Field(gt=0)]
    create_time: Timestamp


class WorkerInfo(Model):
    """One worker process, what it costs and what it runs."""

    pid: Annotated[int, Field(gt=0)]
    cpu_percent: Annotated[float, Field(ge=0)] | None = None
    """Of one core, over the time since the server last looked."""
    memory_bytes: Annotated[int, Field(ge=0)] | None = None
    """Resident."""
    execution_id: ExecutionId | None = None


class PongReply(ReplyModel):
    """The server is there. What this costs does not grow with the queue or with history."""

    type: Literal["pong"] = "pong"
    status: Literal["ok"] = "ok"
    ready: bool
    """Whether a task submitted now would start without waiting for a worker's start-up."""
    server: str
    """The name of the server's class."""
    version: str
    """The server's distribution version."""
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
    """Why the last start of a worker has failed, at most 2,000 characters; null once one is
    ready."""
    progress_subscribers: tuple[ClientId, ...] = ()
    """Registered clients, up to 100 of them."""
    progress_subscriber_count: Count = 0
    """How many clients are registered, listed or not."""
    max_message_bytes: Annotated[int, Field(gt=0)]
    durable: bool = False
    """Whether what it has accepted outlives its process: a server started again has it."""
    log_file_path: str | None = None
    details: JsonObject = Field(default_factory=dict)
    """The application's own."""
    application: ApplicationInfo | None = None
    """Which application it is, so that a client finds that of another one; null: not known."""


class OkReply(ReplyModel):
    """Done, in the request's own terms."""

    type: Literal["ok"] = "ok"
    status: Literal["ok"] = "ok"
    client_id: ClientId | None = None
    progress_subscribers: tuple[ClientId, ...] | None = None
    """Registered clients, up to 100 of them."""
    progress_subscriber_count: Count | None = None
    """How many clients are registered, listed or not."""
    execution_id: ExecutionId | None = None
    execution_status: ExecutionStatus | None = None
    """The cancelled execution's status now: a running one ends a moment later."""


class ShutdownAckReply(ReplyModel):
    """The server ends, in the ``mode`` that was asked."""

    type: Literal["shutdown_ack"] = "shutdown_ack"
    status: Literal["ok"] = "ok"
    mode: ShutdownMode


class ErrorDetail(Model):
    """One field of the request that was at fault."""

    field: str
    message: str


class ErrorReply(ReplyModel):
    """Refused, and why, in a sentence that a person can act on."""

    type: Literal["error"] = "error"
    status: Literal["error"] = "error"
    code: Annotated[ErrorCode, UnknownMeans(ErrorCode.INTERNAL)]
    message: str
    details: tuple[ErrorDetail, ...] = ()
