"""What can happen to the scheduler: tuples, since a dozen of them are made for each task.

Tell them apart by their types: two of different ones are equal where their parts are.
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
    """The present, on the two clocks that it takes."""

    wall: float
    """Unix seconds, for records."""
    monotonic: float
    """Seconds, for deadlines."""


class Submitted(NamedTuple):
    """A client wants a task executed."""

    request: ExecuteHead
    """Not more of it than the head may be parsed."""
    caller: Caller
    frame: bytes = b""
    """What the request was read from; empty when it came in none, or was changed since."""


class StatusRequested(NamedTuple):
    """A client asks for a record, perhaps for when it is final."""

    request: StatusRequest
    caller: Caller


class CancelRequested(NamedTuple):
    """A client wants one execution stopped."""

    request: CancelRequest
    caller: Caller


class EventsRequested(NamedTuple):
    """A subscriber asks for events that it missed."""

    request: EventsRequest
    caller: Caller


class ShutdownRequested(NamedTuple):
    """The server is to end; ``forced``: without any grace."""

    mode: ShutdownMode
    forced: bool = False


class TimerDue(NamedTuple):
    """The scheduler's next deadline has come."""


class WorkerReady(NamedTuple):
    """The worker is set up and idle."""


class ProgressReported(NamedTuple):
    """The task told how far it is, perhaps several times since the last event."""

    execution_id: str
    bodies: tuple[bytes, ...]
    """JSON objects without the fields that the server adds, the oldest first; one at least."""


class TaskReturned(NamedTuple):
    """The task came to its end; ``result`` is encoded JSON."""

    execution_id: str
    result: bytes


class TaskRaised(NamedTuple):
    """The task ended with an exception, or with a result that cannot be sent."""

    execution_id: str
    error: ExecutionErrorInfo


class TaskStopped(NamedTuple):
    """The task was told to stop, and did."""

    execution_id: str


class WorkerExited(NamedTuple):
    """The worker is gone, asked or not.

    ``exit_code`` is negative for a signal; ``message`` are its last words, if it had any;
    ``last`` is what it told before it ended and nobody had read yet; ``has_begun``, whether it
    had begun the task that it was assigned, which is true where the runner cannot know.
    """

    exit_code: int | None
    message: str = ""
    last: tuple[WorkerEvent, ...] = ()
    has_begun: bool = True


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
