"""Events: the input of the scheduler. Named tuples, since a dozen are made for each task.

Distinguish them by type: two of different types are equal when their fields are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from zmqruntime.messages import (
        CancelRequest,
        EventsRequest,
        ExecuteHead,
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
    """The current time on two clocks."""

    wall: float
    """Unix seconds, for records."""
    monotonic: float
    """Seconds, for deadlines."""


class Submitted(NamedTuple):
    """An ``execute`` request arrived."""

    request: ExecuteHead
    """Its task and its config may be unparsed."""
    caller: Caller
    frame: bytes = b""
    """The received frame; empty if there is none, or if the request was changed since."""


class StatusRequested(NamedTuple):
    """A ``status`` request arrived, perhaps a long poll for a final record."""

    request: StatusRequest
    caller: Caller


class CancelRequested(NamedTuple):
    """A ``cancel`` request arrived."""

    request: CancelRequest
    caller: Caller


class EventsRequested(NamedTuple):
    """A request for buffered events arrived, from a subscriber that missed some."""

    request: EventsRequest
    caller: Caller


class ShutdownRequested(NamedTuple):
    """The server has to end; ``forced`` skips the grace period."""

    mode: ShutdownMode
    forced: bool = False


class TimerDue(NamedTuple):
    """The scheduler's next deadline has passed."""


class WorkerReady(NamedTuple):
    """The worker of a slot is set up and idle."""

    slot: int = 0


class ProgressReported(NamedTuple):
    """A task reported progress, once or several times since the last event."""

    execution_id: str
    bodies: tuple[bytes, ...]
    """JSON objects without the fields that the server adds, the oldest first; at least one."""
    slot: int = 0


class TaskReturned(NamedTuple):
    """A task returned; ``result`` is encoded JSON."""

    execution_id: str
    result: bytes
    slot: int = 0


class TaskRaised(NamedTuple):
    """A task raised an exception, or returned a result that cannot be sent."""

    execution_id: str
    error: ExecutionErrorInfo
    slot: int = 0


class TaskStopped(NamedTuple):
    """A task ended because it was interrupted."""

    execution_id: str
    slot: int = 0


class WorkerExited(NamedTuple):
    """The worker of a slot has ended, on request or not."""

    exit_code: int | None
    """Negative for a signal; None if unknown."""
    message: str = ""
    """Its last error message, if there is one."""
    last: tuple[WorkerEvent, ...] = ()
    """What it had sent before its end and was not yet read."""
    has_begun: bool = True
    """Whether it had begun its assigned task; True where the runner cannot know."""
    slot: int = 0


WorkerEvent = WorkerReady | ProgressReported | TaskReturned | TaskRaised | TaskStopped
"""An event of a live worker."""

RunnerEvent = WorkerEvent | WorkerExited
"""An event that a task runner emits."""

Event = (
    Submitted
    | StatusRequested
    | CancelRequested
    | EventsRequested
    | ShutdownRequested
    | TimerDue
    | RunnerEvent
)
