"""Records of executions: the whole record, and the entries of lists and of its history."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zmqruntime.messages.base import ClientId, ExecutionId, Labels, Model, Timestamp
from zmqruntime.messages.events import ProgressEvent
from zmqruntime.messages.failures import ExecutionErrorInfo
from zmqruntime.messages.json_value import JsonValue
from zmqruntime.messages.status import ExecutionStatus

__all__ = ["AttemptInfo", "ExecutionRecord", "QueuedExecutionInfo", "RunningExecutionInfo"]


class AttemptInfo(Model):
    """A failed attempt of an execution that was retried."""

    attempt: Annotated[int, Field(ge=1)]
    started_at: Timestamp
    finished_at: Timestamp
    error: ExecutionErrorInfo
    """Truncated: a record has up to 20 attempts."""


class ExecutionRecord(Model):
    """A server's record of one execution, in any status."""

    execution_id: ExecutionId
    client_id: ClientId
    status: ExecutionStatus
    labels: Labels = Field(default_factory=dict)
    attempt: Annotated[int, Field(ge=1)] = 1
    submitted_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    queue_position: Annotated[int, Field(ge=1)] | None = None
    """1 is next; null unless queued."""
    progress: ProgressEvent | None = None
    """The task's latest progress report."""
    result: JsonValue = None
    """The task's return value; null unless complete."""
    error: ExecutionErrorInfo | None = None
    """Why the execution failed, or why the server cancelled it without a request."""
    attempts: tuple[AttemptInfo, ...] = ()
    """Previous attempts, the oldest first."""
    retry_at: Timestamp | None = None
    """When the execution becomes eligible for its retry."""
    log_file_path: str | None = None
    """Path, on the server's machine, of the task's stdout and stderr; the file is created by
    the first output."""
    result_dropped: bool = False
    """Whether the unread record was reduced at a hard limit to its status, times and error:
    labels, progress, result, attempts and log are evicted."""


class QueuedExecutionInfo(Model):
    """A queued execution, as an entry of a list."""

    execution_id: ExecutionId
    client_id: ClientId
    queue_position: Annotated[int, Field(ge=1)]
    submitted_at: Timestamp
    labels: Labels = Field(default_factory=dict)


class RunningExecutionInfo(Model):
    """A running execution, as an entry of a list."""

    execution_id: ExecutionId
    client_id: ClientId
    submitted_at: Timestamp
    started_at: Timestamp
    attempt: Annotated[int, Field(ge=1)] = 1
    cancel_requested: bool = False
    labels: Labels = Field(default_factory=dict)
    progress: ProgressEvent | None = None
