"""What can happen to the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from zmqruntime.messages import (
        CancelRequest,
        EventsRequest,
        ExecuteRequest,
        ExecutionErrorInfo,
        ShutdownMode,
        StatusRequest,
    )
    from zmqruntime.transport import Caller

__all__ = [
    "CancelRequested",
    "Event",
    "EventsRequested",
    "Now",
    "ProgressReported",
    "RunnerEvent",
    "ShutdownRequested",
    "StatusRequested",
    "Submitted",
    "TaskRaised",
    "TaskReturned",
    "TaskStopped",
    "TimerDue",
    "WorkerEvent",
    "WorkerExited",
    "WorkerReady",
]


class Now(NamedTuple):
    """The present, on the two clocks that it takes."""

    wall: float
    """Unix seconds, for records."""
    monotonic: float
    """Seconds, for deadlines."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A client wants a task executed."""

    request: ExecuteRequest
    caller: Caller


@dataclass(frozen=True, slots=True)
class StatusRequested:
    """A client asks for a record, perhaps for when it is final."""

    request: StatusRequest
    caller: Caller


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A client wants one execution stopped."""

    request: CancelRequest
    caller: Caller


@dataclass(frozen=True, slots=True)
class EventsRequested:
    """A subscriber asks for events that it missed."""

    request: EventsRequest
    caller: Caller


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """The server is to end; ``forced``: without any grace."""

    mode: ShutdownMode
    forced: bool = False


@dataclass(frozen=True, slots=True)
class TimerDue:
    """The scheduler's next deadline has come."""


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker is set up and idle."""


@dataclass(frozen=True, slots=True)
class ProgressReported:
    """The task told how far it is: a JSON object without the fields that the server adds."""

    execution_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class TaskReturned:
    """The task came to its end; ``result`` is encoded JSON."""

    execution_id: str
    result: bytes


@dataclass(frozen=True, slots=True)
class TaskRaised:
    """The task ended with an exception, or with a result that cannot be sent."""

    execution_id: str
    error: ExecutionErrorInfo


@dataclass(frozen=True, slots=True)
class TaskStopped:
    """The task was told to stop, and did."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class WorkerExited:
    """The worker is gone, asked or not.

    ``exit_code`` is negative for a signal; ``message`` are its last words, if it had any;
    ``last`` is what it told before it ended and nobody had read yet.
    """

    exit_code: int | None
    message: str = ""
    last: tuple[WorkerEvent, ...] = ()


WorkerEvent = WorkerReady | ProgressReported | TaskReturned | TaskRaised | TaskStopped
"""What a worker tells while it lives."""

RunnerEvent = WorkerEvent | WorkerExited
"""What a task runner tells."""

Event = (
    Submitted
    | StatusRequested
    | CancelRequested
    | EventsRequested
    | ShutdownRequested
    | TimerDue
    | RunnerEvent
)
