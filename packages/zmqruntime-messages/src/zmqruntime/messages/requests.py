"""What a client asks on the control channel. An unknown field is refused, not ignored."""

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
    """Is the server there, is it ready, what does it do? Answered by ``pong``."""

    type: Literal["ping"] = "ping"
    limit: Limit = 100
    """How many running and how many queued executions to list."""
    wait_seconds: WaitSeconds = 0.0
    """How long to hold the reply while the server is not ready yet."""


class StatusRequest(RequestModel):
    """How is one execution, or the whole queue? Answered by ``snapshot``."""

    type: Literal["status"] = "status"
    execution_id: ExecutionId | None = None
    """Absent: the whole server."""
    wait_seconds: WaitSeconds = 0.0
    """How long to hold the reply while the execution has not ended."""
    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=MAX_CURSOR)] | None = None
    """Where the last page ended."""
    also: Annotated[tuple[ExecutionId, ...], Field(max_length=MAX_ALSO)] = ()
    """Further executions, of which the reply has the records that are final by then."""


class CancelRequest(RequestModel):
    """Stop one execution, queued or running. Answered by ``ok``."""

    type: Literal["cancel"] = "cancel"
    execution_id: ExecutionId


class EventsRequest(RequestModel):
    """Which events did I miss? Answered by ``kept_events``, as far as there are any."""

    type: Literal["events"] = "events"
    execution_id: ExecutionId
    after_sequence: Annotated[int, Field(ge=0)] = 0
    """The number of the last event that is known; 0: none is."""
    limit: Limit = 100


class LogTailRequest(RequestModel):
    """What did the task write to its stdout and stderr? Answered by ``log``."""

    type: Literal["log_tail"] = "log_tail"
    execution_id: ExecutionId
    max_bytes: Annotated[int, Field(ge=0, le=MAX_LOG_TAIL_BYTES)] = 16_384
    """How much of its end to tell."""


class RegisterProgressRequest(RequestModel):
    """Acknowledge my subscription. Answered by ``ok`` once the server has seen it."""

    type: Literal["register_progress"] = "register_progress"
    client_id: ClientId
    scope: ProgressScope = ProgressScope.OWN


class UnregisterProgressRequest(RequestModel):
    """I no longer listen. Answered by ``ok``."""

    type: Literal["unregister_progress"] = "unregister_progress"
    client_id: ClientId


class ShutdownRequest(RequestModel):
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

Incoming = Request | UnparsedExecute
"""Any request as a server receives it."""

Outgoing = Request | PreparedRequest
"""What a client can send."""
