"""What a server tells in a line of each: processes, what runs and waits, earlier attempts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zmqruntime.messages.base import ClientId, ExecutionId, Labels, Model, Timestamp
from zmqruntime.messages.events import ProgressEvent
from zmqruntime.messages.failures import ExecutionErrorInfo

__all__ = [
    "ApplicationInfo",
    "AttemptInfo",
    "ProcessInfo",
    "QueuedExecutionInfo",
    "RunningExecutionInfo",
    "WorkerInfo",
]


class ApplicationInfo(Model):
    """Which application a server runs. Digests are opaque: compare them for equality only."""

    class_path: str
    """The server's class, as ``module:Class``."""
    version: str = ""
    """The application's own version; empty where it has none."""
    code_digest: str | None = None
    """Of the source files of the application as they were at the server's start."""
    arguments_digest: str | None = None
    """Of what its launcher was given for it; null where that was nothing, or no launcher."""
    origin_digest: str | None = None
    """Of the path of the source file of its class; null where it has none."""


class AttemptInfo(Model):
    """One run of an execution that failed and was followed by another."""

    attempt: Annotated[int, Field(ge=1)]
    started_at: Timestamp
    finished_at: Timestamp
    error: ExecutionErrorInfo
    """Shortened, so that many of them fit into a record."""


class QueuedExecutionInfo(Model):
    """One line of the queue."""

    execution_id: ExecutionId
    client_id: ClientId
    queue_position: Annotated[int, Field(ge=1)]
    submitted_at: Timestamp
    labels: Labels = Field(default_factory=dict)


class RunningExecutionInfo(Model):
    """One execution that runs now."""

    execution_id: ExecutionId
    client_id: ClientId
    submitted_at: Timestamp
    started_at: Timestamp
    attempt: Annotated[int, Field(ge=1)] = 1
    cancel_requested: bool = False
    labels: Labels = Field(default_factory=dict)
    progress: ProgressEvent | None = None


class ProcessInfo(Model):
    """One process, exactly: a pid alone may have been given to another since."""

    pid: Annotated[int, Field(gt=0)]
    create_time: Timestamp


class WorkerInfo(Model):
    """One worker process, what it costs and what it runs."""

    pid: Annotated[int, Field(gt=0)]
    cpu_percent: Annotated[float, Field(ge=0)] | None = None
    """Of one core, over the time since the server last looked."""
    memory_bytes: Annotated[int, Field(ge=0)] | None = None
    """Resident."""
    execution_id: ExecutionId | None = None
