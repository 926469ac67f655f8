"""What the scheduler wants done. Whoever drives it performs these, in order.

Those of every task are named tuples, which are built at a third of the cost of a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.events import ExecutionEvent
    from zmqruntime.transport import Caller

__all__ = [
    "AssignTask",
    "Effect",
    "Exit",
    "ForgetLog",
    "InterruptTask",
    "KillWorker",
    "LargeReply",
    "LogCancelled",
    "Publish",
    "Reply",
    "StartWorker",
]


class Reply(NamedTuple):
    """Answer a caller with an encoded reply; each request gets exactly one."""

    caller: Caller
    frame: bytes
    execution_id: str | None = None
    """What it tells of, if that is one that is kept."""


@dataclass(frozen=True, slots=True)
class LargeReply:
    """Answer a caller with a reply that is composed when there is room to send it."""

    caller: Caller
    compose: Callable[[], bytes]
    execution_id: str


class Publish(NamedTuple):
    """Send events, in order, to whoever subscribed to their topic."""

    client_id: str
    """Whose execution it is: the first part of the topic."""
    execution_id: str
    events: tuple[ExecutionEvent, ...]


class AssignTask(NamedTuple):
    """Let the idle worker run this encoded request."""

    execution_id: str
    request: bytes


@dataclass(frozen=True, slots=True)
class InterruptTask:
    """Tell the running task to stop: its flag, then an interrupt."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class ForgetLog:
    """Remove what an execution has written: its record has left history."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class KillWorker:
    """End the worker and all that it started."""


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a worker."""


@dataclass(frozen=True, slots=True)
class LogCancelled:
    """Log once that so many queued executions are cancelled, instead of each of them."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    """End the server; ``failure`` says why, when nobody asked for it."""

    failure: str | None = None


Effect = (
    Reply
    | LargeReply
    | Publish
    | AssignTask
    | InterruptTask
    | KillWorker
    | StartWorker
    | ForgetLog
    | LogCancelled
    | Exit
)
