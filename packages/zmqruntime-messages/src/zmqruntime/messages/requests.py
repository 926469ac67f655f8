"""What a client asks on the control channel. An unknown field is refused, not ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from zmqruntime.messages.base import (
    MAX_ATTEMPTS,
    MAX_BACKOFF_SECONDS,
    MAX_LOG_TAIL_BYTES,
    MAX_PRIORITY,
    MAX_WAIT_SECONDS,
    PROTOCOL_VERSION,
    ClientId,
    ExecutionId,
    Limit,
    Model,
)
from zmqruntime.messages.failures import ErrorKind
from zmqruntime.messages.json_value import JsonObject
from zmqruntime.messages.status import ProgressScope, ShutdownMode

__all__ = [
    "CancelRequest",
    "EventsRequest",
    "ExecuteRequest",
    "LogTailRequest",
    "PingRequest",
    "RegisterProgressRequest",
    "Request",
    "ShutdownRequest",
    "StatusRequest",
    "UnregisterProgressRequest",
]

# They are in every list of executions, so that they have to be short.
_BoundedLabels = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=1000)]],
    Field(max_length=32),
]

_WaitSeconds = Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS)]


class _Request(Model):
    model_config = ConfigDict(extra="forbid")

    protocol: Annotated[int, Field(ge=1, le=PROTOCOL_VERSION)] = PROTOCOL_VERSION
    request_id: str | None = None
    """Echoed in the reply."""


class PingRequest(_Request):
    """Is the server there, is it ready, what does it do? Answered by ``pong``."""

    type: Literal["ping"] = "ping"
    limit: Limit = 100
    """How many running and how many queued executions to list."""
    wait_seconds: _WaitSeconds = 0.0
    """How long to hold the reply while the server is not ready yet."""


class ExecuteRequest(_Request):
    """Run a task. Answered by ``accepted``; asking again with the same id is safe."""

    type: Literal["execute"] = "execute"
    task: JsonObject
    """The application's own."""
    config: JsonObject | None = None
    """The application's own."""
    client_id: ClientId
    execution_id: ExecutionId | None = None
    """Named by the client, so that a retry enqueues nothing twice; else the server names it."""
    labels: _BoundedLabels = Field(default_factory=dict)
    """At most 32: keys of up to 64 characters, values of up to 1,000."""
    timeout_seconds: Annotated[float, Field(gt=0)] | None = None
    """How long the task may run before the server stops it."""
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    """A higher one runs first: of all, or of this client's where clients take turns."""
    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] | None = None
    """How often the task may run, the first time included; None: as the server's default says."""
    retry_on: tuple[ErrorKind, ...] | None = None
    """What it runs again after; None: as the server's default says."""
    backoff_seconds: Annotated[float, Field(ge=0, le=MAX_BACKOFF_SECONDS)] | None = None
    """How long the second attempt waits; each further one waits twice as long, up to an hour."""
    wait_seconds: _WaitSeconds = 0.0
    """How long to hold the reply while the execution has not ended; it then has the record."""


class StatusRequest(_Request):
    """How is one execution, or the whole queue? Answered by ``snapshot``."""

    type: Literal["status"] = "status"
    execution_id: ExecutionId | None = None
    """Absent: the whole server."""
    wait_seconds: _WaitSeconds = 0.0
    """How long to hold the reply while the execution has not ended."""
    limit: Limit = 100
    cursor: str | None = None
    """Where the last page ended."""


class CancelRequest(_Request):
    """Stop one execution, queued or running. Answered by ``ok``."""

    type: Literal["cancel"] = "cancel"
    execution_id: ExecutionId


class EventsRequest(_Request):
    """Which events did I miss? Answered by ``kept_events``, as far as there are any."""

    type: Literal["events"] = "events"
    execution_id: ExecutionId
    after_sequence: Annotated[int, Field(ge=0)] = 0
    """The number of the last event that is known; 0: none is."""
    limit: Limit = 100


class LogTailRequest(_Request):
    """What did the task write to its stdout and stderr? Answered by ``log``."""

    type: Literal["log_tail"] = "log_tail"
    execution_id: ExecutionId
    max_bytes: Annotated[int, Field(ge=0, le=MAX_LOG_TAIL_BYTES)] = 16_384
    """How much of its end to tell."""


class RegisterProgressRequest(_Request):
    """Acknowledge my subscription. Answered by ``ok`` once the server has seen it."""

    type: Literal["register_progress"] = "register_progress"
    client_id: ClientId
    scope: ProgressScope = ProgressScope.OWN


class UnregisterProgressRequest(_Request):
    """I no longer listen. Answered by ``ok``."""

    type: Literal["unregister_progress"] = "unregister_progress"
    client_id: ClientId


class ShutdownRequest(_Request):
    """End the server. Answered by ``shutdown_ack`` before it does."""

    type: Literal["shutdown"] = "shutdown"
    mode: ShutdownMode = ShutdownMode.DRAIN


Request = Annotated[
    PingRequest
    | ExecuteRequest
    | StatusRequest
    | CancelRequest
    | EventsRequest
    | LogTailRequest
    | RegisterProgressRequest
    | UnregisterProgressRequest
    | ShutdownRequest,
    Field(discriminator="type"),
]
"""Any request of the control channel."""
