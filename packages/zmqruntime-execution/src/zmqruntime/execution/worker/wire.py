"""What a server and its own worker say to each other: a head (kind and execution id), a body.

This link is private to one server and the processes it started; each worker proves itself by
a token that only its parent could have given it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zmqruntime.transport import ProcessIdentity

__all__ = [
    "ASSIGN",
    "COMMANDS",
    "FAILED",
    "HELLO",
    "INTERRUPT",
    "PROGRESS",
    "RAISED",
    "READY",
    "REPORTS",
    "RETURNED",
    "STOP",
    "STOPPED",
    "TASKS",
    "WorkerSetup",
]

# Kinds are one byte, in front of the execution id.
ASSIGN: Final = b"A"
INTERRUPT: Final = b"I"
STOP: Final = b"Q"

HELLO: Final = b"H"
READY: Final = b"Y"
FAILED: Final = b"F"
PROGRESS: Final = b"P"
RETURNED: Final = b"R"
RAISED: Final = b"X"
STOPPED: Final = b"S"

# A worker's sockets are told apart by the last byte of their routing id, behind the token.
TASKS: Final = b"t"
COMMANDS: Final = b"c"
REPORTS: Final = b"r"


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker process is given at its start."""

    server: bytes
    """The application's server object, pickled by the parent and by nobody else."""
    server_process: ProcessIdentity
    address: str
    token: bytes
    max_message_bytes: int
    log_directory: Path | None
    """Where what tasks write is kept; None: nowhere."""
    max_log_bytes: int
    name: str
    """Of this worker, in that directory."""
