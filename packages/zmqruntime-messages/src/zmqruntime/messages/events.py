"""Events of the data channel, and their topics. A message is a topic frame and an event frame."""

from __future__ import annotations

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
"""The gap in the sequence numbers of an execution whose server died during the run.

Progress is journaled with a delay: the gap keeps unjournaled numbers from being used twice.
"""

ARRAYS_MARK: Final = b"~"
"""The prefix of subscriptions that announce support for arrays of events.

A client subscribes to it and each of its prefixes in addition. No topic begins with it. It sorts
after all names, so that libzmq, which resends subscriptions in order, sends it last.
"""


def make_topic_prefix(client_id: ClientId) -> bytes:
    """Return the subscription for all executions that a client submits."""
    return f"{client_id}/".encode()


def make_topic(client_id: ClientId, execution_id: ExecutionId) -> bytes:
    """Return the topic frame of one execution's events; ``client_id`` is its submitter's."""
    return f"{client_id}/{execution_id}".encode()


class _OneComplaint:
    """Reports one error for a union instead of one for each member."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return {
            **handler(source),
            "custom_error_type": "not_a_number",
            "custom_error_message": "Input should be a finite number",
        }


# An integer stays an integer, a float a float, as the task reported it.
_Number = Annotated[int | float, _OneComplaint()]


class _Event(Model):
    execution_id: ExecutionId
    sequence: Annotated[int, Field(ge=1)]
    """1, 2, 3 ... within one execution, over both event types; a gap is a lost event."""
    timestamp: Timestamp


class ProgressEvent(_Event):
    """A task's progress report. All fields but the common ones are application-defined."""

    type: Literal["progress"] = "progress"
    phase: str | None = None
    completed: _Number | None = None
    total: _Number | None = None
    percent: float | None = None
    """0 to 100; null unless ``completed`` and ``total`` are known."""
    message: str | None = None
    data: JsonObject | None = None


class StateEvent(_Event):
    """A transition of an execution to ``status``. A terminal one is its last event."""

    type: Literal["state"] = "state"
    status: ExecutionStatus
    submitted_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    error: ExecutionErrorInfo | None = None


Event = Annotated[ProgressEvent | StateEvent, Field(discriminator="type")]
"""Any event of the data channel."""
