"""Requests of the control channel, and their union. Unknown fields are rejected."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zmqruntime.messages.base import (
    MAX_ALSO,
    MAX_CURSOR,
    MAX_LOG_TAIL_BYTES,
    ClientId,
    ExecutionId,
    Limit,
)
from zmqruntime.messages.encoding import PreparedRequest
from zmqruntime.messages.execute_request import (
    ExecuteRequest,
    RequestModel,
    UnparsedExecute,
    WaitSeconds,
)
from zmqruntime.messages.status import ProgressScope, ShutdownMode

__all__ = [
    "CancelRequest",
    "EventsRequest",
    "Incoming",
    "LogTailRequest",
    "PingRequest",
    "RegisterProgressRequest",
    "Request",
    "ShutdownRequest",
    "StatusRequest",
    "UnregisterProgressRequest",
]


class PingRequest(RequestModel):
    """Get the server's readiness and state. Reply: ``pong``."""

    type: Literal["ping"] = "ping"
    limit: Limit = 100
    """The maximum number of running and of queued executions in the reply."""
    wait_seconds: WaitSeconds = 0.0
    """How long the server holds the reply until it is ready."""


class StatusRequest(RequestModel):
    """Get one execution's record, or a page of the queue. Reply: ``snapshot``."""

    type: Literal["status"] = "status"
    execution_id: ExecutionId | None = None
    """Null: the whole server."""
    wait_seconds: WaitSeconds = 0.0
    """How long the server holds the reply until the execution ends."""
    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=MAX_CURSOR)] | None = None
    """The ``cursor`` of the previous page."""
    also: Annotated[tuple[ExecutionId, ...], Field(max_length=MAX_ALSO)] = ()
    """Further executions; the reply has the records that are final by then."""


class CancelRequest(RequestModel):
    """Cancel one execution, queued or running. Reply: ``ok``."""

    type: Literal["cancel"] = "cancel"
    execution_id: ExecutionId


class EventsRequest(RequestModel):
    """Replay buffered events of an execution. Reply: ``kept_events``."""

    type: Literal["events"] = "events"
    execution_id: ExecutionId
    after_sequence: Annotated[int, Field(ge=0)] = 0
    """Sequence of the client's last event; 0 before the first one."""
    limit: Limit = 100


class LogTailRequest(RequestModel):
    """Get the tail of a task's stdout and stderr. Reply: ``log``."""

    type: Literal["log_tail"] = "log_tail"
    execution_id: ExecutionId
    max_bytes: Annotated[int, Field(ge=0, le=MAX_LOG_TAIL_BYTES)] = 16_384
    """The maximum length of the tail."""


class RegisterProgressRequest(RequestModel):
    """Wait until the client's subscription has reached the server. Reply: ``ok``."""

    type: Literal["register_progress"] = "register_progress"
    client_id: ClientId
    scope: ProgressScope = ProgressScope.OWN


class UnregisterProgressRequest(RequestModel):
    """Remove a client's registration. Reply: ``ok``."""

    type: Literal["unregister_progress"] = "unregister_progress"
    client_id: ClientId


class ShutdownRequest(RequestModel):
    """Stop the server. Reply: ``shutdown_ack``, before it stops."""

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

Incoming = Request | UnparsedExecute
"""Any request as a server receives it."""

Outgoing = Request | PreparedRequest
"""Any request as a client can send it."""
