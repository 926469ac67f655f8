"""What a server publishes on the data channel: a topic frame, then one of these as JSON."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, GetCoreSchemaHandler

from zmqruntime.messages.base import ClientId, ExecutionId, Model, Timestamp
from zmqruntime.messages.failures import ExecutionErrorInfo
from zmqruntime.messages.json_value import JsonObject
from zmqruntime.messages.status import ExecutionStatus

__all__ = [
    "ARRAYS_MARK",
    "SEQUENCE_GAP",
    "Event",
    "ProgressEvent",
    "StateEvent",
    "make_topic",
    "make_topic_prefix",
]

SEQUENCE_GAP: Final = 2**32
"""How far the sequence numbers of an execution's events jump when its server died in the run.

The number of the latest progress is not written at once, and no number may be used twice.
"""

ARRAYS_MARK: Final = b"~"
"""Who takes arrays of events subscribes to this and each of its prefixes, too.

No topic begins with it. Whoever sends subscriptions in their order sends it last, as libzmq does
after a reconnect: it comes behind whatever a name may begin with.
"""


def make_topic_prefix(client_id: ClientId) -> bytes:
    """Return what a client subscribes to for the events of all that it submits."""
    return f"{client_id}/".encode()


def make_topic(client_id: ClientId, execution_id: ExecutionId) -> bytes:
    """Return the topic frame of one execution's events; ``client_id`` is its submitter."""
    return f"{client_id}/{execution_id}".encode()


class _OneComplaint:
    """Makes a union complain once, as itself, instead of once for each of its members."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return {
            **handler(source),
            "custom_error_type": "not_a_number",
            "custom_error_message": "Input should be a finite number",
        }


# A count stays an integer, or a fraction, as the task reported it.
_Number = Annotated[int | float, _OneComplaint()]


class _Event(Model):
    execution_id: ExecutionId
    sequence: Annotated[int, Field(ge=1)]
    """1, 2, 3 ... within one execution, over both event types: a gap is a lost event."""
    timestamp: Timestamp


class ProgressEvent(_Event):
    """How far a task says it is. Every field but the common ones is the application's."""

    type: Literal["progress"] = "progress"
    phase: str | None = None
    completed: _Number | None = None
    total: _Number | None = None
    percent: float | None = None
    """0 to 100, when both ``completed`` and ``total`` are known."""
    message: str | None = None
    data: JsonObject | None = None


class StateEvent(_Event):
    """An execution moved to ``status``. A terminal one is the last event it ever has."""

    type: Literal["state"] = "state"
    status: ExecutionStatus
    submitted_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    error: ExecutionErrorInfo | None = None


Event = Annotated[ProgressEvent | StateEvent, Field(discriminator="type")]
"""Any message of the data channel."""
