"""Records of executions: the whole record, and the entries of lists and of its history."""

from typing import Annotated

from pydantic import Field

from zmqruntime.messages.base import ClientId, ExecutionId, Labels, Model, Timestamp
from zmqruntime.messages.events import ProgressEvent
from zmqruntime.messages.failures import ExecutionErrorInfo
from zmqruntime.messages.json_value import JsonValue
from zmqruntime.messages.status import ExecutionStatus

__all__ = ["AttemptInfo", "ExecutionRecord", "QueuedExecutionInfo", "RunningExecutionInfo"]


class AttemptInfo(Model):
    """One run of an execution that failed and was followed by another."""

    attempt: Annotated[int, Field(ge=1)]
    started_at: Timestamp
    finished_at: Timestamp
    error: ExecutionErrorInfo
    """Shortened, so that many of them fit into a record."""


class ExecutionRecord(Model):
    """Everything a server keeps of one execution, whatever its state."""

    execution_id: ExecutionId
    client_id: ClientId
    status: ExecutionStatus
    labels: Labels = Field(default_factory=dict)
    attempt: Annotated[int, Field(ge=1)] = 1
    submitted_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    queue_position: Annotated[int, Field(ge=1)] | None = None
    """1 = next; only while queued."""
    progress: ProgressEvent | None = None
    """The latest that the task reported."""
    result: JsonValue = None
    """What the task returned; only when complete."""
    error: ExecutionErrorInfo | None = None
    """Why it failed, or why the server cancelled it unasked."""
    attempts: tuple[AttemptInfo, ...] = ()
    """Those before ``attempt``, the oldest first."""
    retry_at: Timestamp | None = None
    """Until when it waits in the queue before it is tried again."""
    log_file_path: str | None = None
    """Where, on the server's machine, its stdout and stderr go; there is no file before it
    has written something."""
    result_dropped: bool = False
    """Whether it was dropped unread, at a hard limit, but for its status, its times and its error;
    labels, progress, result, attempts and log are gone."""


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
