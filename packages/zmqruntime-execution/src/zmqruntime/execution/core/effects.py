"""Effects: what the scheduler decides has to be done. The dispatcher performs them in order.

The frequent ones are named tuples, which are built at a third of the cost of a frozen dataclass.
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
    """Send an encoded reply; each request gets exactly one."""

    caller: Caller
    frame: bytes
    execution_id: str | None = None
    """The kept execution that it is about, if any."""


@dataclass(frozen=True, slots=True)
class LargeReply:
    """Send a reply that is composed when the caller's send buffer has room for it."""

    caller: Caller
    compose: Callable[[], bytes]
    execution_id: str


class Publish(NamedTuple):
    """Publish events of one execution, in order."""

    client_id: str
    """The first part of the topic."""
    execution_id: str
    events: tuple[ExecutionEvent, ...]


class AssignTask(NamedTuple):
    """Send an encoded request to the idle worker of a slot."""

    execution_id: str
    request: bytes
    slot: int = 0


@dataclass(frozen=True, slots=True)
class InterruptTask:
    """Interrupt the task that runs on a slot: set its cancel flag, then raise in it."""

    execution_id: str
    slot: int = 0


@dataclass(frozen=True, slots=True)
class ForgetLog:
    """Remove the captured output of an execution."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class KillWorker:
    """Kill the worker of a slot and all processes that it started."""

    slot: int = 0


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start a worker on a slot."""

    slot: int = 0


@dataclass(frozen=True, slots=True)
class LogCancelled:
    """Log the cancel of all queued executions in one line."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    """End the server."""

    failure: str | None = None
    """The reason of an end that was not requested."""


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
