"""What a server and its own worker say to each other, and by which of their links.

These links are private to one server and the processes it started; each worker proves itself by
a token that only its parent could have given it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zmqruntime.execution.worker.framing import Message
from zmqruntime.execution.worker.sockets import LinkAddress
from zmqruntime.transport import ProcessIdentity

__all__ = [
    "ASSIGN",
    "COMMANDS",
    "FAILED",
    "INTERRUPT",
    "PROGRESS",
    "RAISED",
    "READY",
    "REPORTS",
    "RETURNED",
    "STOP",
    "STOPPED",
    "TASKS",
    "TOKEN_BYTES",
    "WorkerSetup",
    "gather_reports",
]

# Kinds are one byte.
ASSIGN: Final = b"A"
INTERRUPT: Final = b"I"
STOP: Final = b"Q"

READY: Final = b"Y"
FAILED: Final = b"F"
PROGRESS: Final = b"P"
RETURNED: Final = b"R"
RAISED: Final = b"X"
STOPPED: Final = b"S"

# What a link is for: one byte, which is said at its beginning, behind the token.
TASKS: Final = b"t"
COMMANDS: Final = b"c"
REPORTS: Final = b"r"

TOKEN_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker process is given at its start."""

    server: bytes
    """The application's server object, pickled by the parent and by nobody else."""
    server_process: ProcessIdentity
    address: LinkAddress
    token: bytes
    max_message_bytes: int
    log_directory: Path | None
    """Where what tasks write is kept; None: nowhere."""
    max_log_bytes: int
    name: str
    """Of this worker, in that directory."""


def gather_reports(messages: Sequence[Message]) -> list[Sequence[Message]]:
    """Return messages one by one, but what one task has reported in succession together."""
    if len(messages) == 1:
        return [messages]
    gathered: list[Sequence[Message]] = []
    first = 0
    while first < len(messages):
        kind, execution_id, _ = messages[first]
        end = first + 1
        if kind == PROGRESS:
            while end < len(messages) and messages[end][:2] == (kind, execution_id):
                end += 1
        gathered.append(messages[first:end])
        first = end
    return gathered
