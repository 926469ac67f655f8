"""Private protocol between a server and its worker: message kinds, links, worker setup.

The links are private to one server and the processes that it started; each connection
authenticates by a token that only the worker's parent could have passed on.
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
    "INTERRUPT",
    "INTERRUPTED",
    "PROGRESS",
    "QUIT",
    "RAISED",
    "READY",
    "REPORTS",
    "RETURNED",
    "SETUP_FAILED",
    "TASKS",
    "TOKEN_BYTES",
    "WorkerSetup",
    "group_reports",
]

# Message kinds, server to worker.
ASSIGN: Final = b"A"
INTERRUPT: Final = b"I"
QUIT: Final = b"Q"

# Message kinds, worker to server.
READY: Final = b"Y"
SETUP_FAILED: Final = b"F"
PROGRESS: Final = b"P"
RETURNED: Final = b"R"
RAISED: Final = b"X"
INTERRUPTED: Final = b"S"

# Purposes of a connection: one byte behind the token.
TASKS: Final = b"t"
COMMANDS: Final = b"c"
REPORTS: Final = b"r"

TOKEN_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """Configuration of one worker process, sent to it through its standard input."""

    server: bytes
    """The application's server object, pickled by the parent."""
    server_process: ProcessIdentity
    address: LinkAddress
    token: bytes
    max_message_bytes: int
    log_directory: Path | None
    """Directory of task logs; None: output is not captured."""
    max_log_bytes: int
    name: str
    """Name of this worker in the log directory."""


def group_reports(messages: Sequence[Message]) -> list[Sequence[Message]]:
    """Return messages one by one, except consecutive progress of one task, which is grouped."""
    if len(messages) == 1:
        return [messages]
    groups: list[Sequence[Message]] = []
    first = 0
    while first < len(messages):
        kind, execution_id, _ = messages[first]
        end = first + 1
        if kind == PROGRESS:
            while end < len(messages) and messages[end][:2] == (kind, execution_id):
                end += 1
        groups.append(messages[first:end])
        first = end
    return groups
