"""One execution as a server keeps it: compact, with the application's parts still encoded."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Set
from dataclasses import dataclass
from typing import Final, NamedTuple

from zmqruntime.execution.lifecycle.events import ProgressReport, StateChange, compose_event
from zmqruntime.messages import (
    MAX_REQUEST_BYTES,
    AttemptInfo,
    ErrorKind,
    ExecuteHead,
    ExecuteRequest,
    ExecutionErrorInfo,
    ExecutionStatus,
    Labels,
    ProgressEvent,
    QueuedExecutionInfo,
    RunningExecutionInfo,
    UnparsedExecute,
    decode_event,
    decode_request,
)

__all__ = ["Execution", "RetryOptions", "fingerprint"]

# Made only for those that are asked for again, a fingerprint costs a short task nothing.
_SHORT_BYTES = 512

_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def fingerprint(request: ExecuteHead) -> bytes:
    """Return what two requests for the same work have in common, whoever wrote their JSON.

    A task and a config that are not parsed count as they were written, byte by byte.
    """
    task: object
    config: object
    if isinstance(request, UnparsedExecute):
        task, config = _digest(request.task_json), _digest(request.config_json)
    else:
        assert isinstance(request, ExecuteRequest)
        task, config = request.task, request.config
    content = (
        request.client_id,
        task,
        config,
        request.labels,
        request.timeout_seconds,
        request.priority,
        request.max_attempts,
        None if request.retry_on is None else sorted(set(request.retry_on)),
        request.backoff_seconds,
    )
    return hashlib.blake2b(_canonical.encode(content).encode(), digest_size=16).digest()


def _digest(raw: memoryview | None) -> str | None:
    return None if raw is None else hashlib.blake2b(raw, digest_size=32).hexdigest()


class RetryOptions(NamedTuple):
    """What a request says of further attempts; None: as the server's default says."""

    max_attempts: int | None = None
    retry_on: Set[ErrorKind] | None = None
    backoff_seconds: float | None = None


_NO_OPTIONS = RetryOptions()
_NO_LABELS: Final[Labels] = {}


@dataclass(slots=True, kw_only=True)
class Execution:
    """One execution. Only a lifecycle engine changes it; everybody else reads."""

    execution_id: str
    client_id: str
    request: bytes
    """The encoded `ExecuteRequest`, for the worker, and to know the same work again."""
    fingerprint: bytes = b""
    """Of its work, once it was asked for; see `compute_fingerprint`."""
    labels: Labels
    timeout_seconds: float | None
    submitted_at: float
    ticket: int
    """The order of arrival."""
    priority: int = 0
    retry: RetryOptions = _NO_OPTIONS
    status: ExecutionStatus = ExecutionStatus.QUEUED
    attempt: int = 1
    started_at: float | None = None
    finished_at: float | None = None
    cancel_requested: bool = False
    sequence: int = 1
    """The number of the last event."""
    progress: ProgressReport | None = None
    """The latest."""
    result: bytes | None = None
    """What the task returned, encoded."""
    error: ExecutionErrorInfo | None = None
    attempts: tuple[AttemptInfo, ...] = ()
    """Those that failed before this one."""
    retry_at: float | None = None
    """Until when it is not yet to run again, in Unix seconds."""
    kept_bytes: int = 0
    """About how many bytes it takes since its end."""
    result_dropped: bool = False
    """Whether its record was evicted unread, and this is what is left of it."""

    def __post_init__(self) -> None:
        # Many records share them, and nobody changes them.
        self.client_id = sys.intern(self.client_id)
        self.labels = self.labels or _NO_LABELS

    @classmethod
    def from_request(
        cls, request: ExecuteHead, ticket: int, now: float, frame: bytes = b""
    ) -> Execution:
        """Return a queued execution of ``request``, which has an ``execution_id``.

        ``frame`` is what it was read from; empty: it is encoded.
        """
        assert request.execution_id is not None
        return cls(
            execution_id=request.execution_id,
            client_id=request.client_id,
            # One with line breaks has no place in the notes beside a journal.
            # A longer one than `MAX_REQUEST_BYTES` has none anyway.
            request=frame
            if frame and (len(frame) > MAX_REQUEST_BYTES or b"\n" not in frame)
            else _encode(request),
            # It can be made now without parsing the frame once more, and is needed at the end.
            fingerprint=fingerprint(request) if type(request) is UnparsedExecute else b"",
            labels=request.labels,
            timeout_seconds=request.timeout_seconds,
            submitted_at=now,
            ticket=ticket,
            priority=request.priority,
            retry=_retry_options_of(request),
        )

    def is_same_work(self, request: ExecuteHead) -> bool:
        """Whether ``request`` asks for what this execution was submitted for."""
        return fingerprint(request) == self.compute_fingerprint()

    def compute_fingerprint(self) -> bytes:
        """Return what tells the same work again."""
        if not self.fingerprint:
            request = decode_request(self.request)
            assert isinstance(request, ExecuteRequest)
            self.fingerprint = fingerprint(request)
        return self.fingerprint

    @property
    def is_short(self) -> bool:
        """Whether its request is kept to its end, and tells the same work again."""
        return 0 < len(self.request) <= _SHORT_BYTES

    def drop_request_body(self) -> None:
        """Keep of the request only what tells the same work again: itself, when it is short."""
        if not self.is_short:
            self.compute_fingerprint()
            self.request = b""

    def to_state_change(self, timestamp: float) -> StateChange:
        """Return the event of its move to where it is."""
        return StateChange(
            self.sequence,
            timestamp,
            self.status,
            self.submitted_at,
            self.started_at,
            self.error,
        )

    def to_queued_info(self, queue_position: int) -> QueuedExecutionInfo:
        """Return one line of the queue."""
        return QueuedExecutionInfo(
            execution_id=self.execution_id,
            client_id=self.client_id,
            queue_position=queue_position,
            submitted_at=self.submitted_at,
            labels=self.labels,
        )

    def to_running_info(self) -> RunningExecutionInfo:
        """Return one line of what runs."""
        assert self.started_at is not None
        return RunningExecutionInfo(
            execution_id=self.execution_id,
            client_id=self.client_id,
            submitted_at=self.submitted_at,
            started_at=self.started_at,
            attempt=self.attempt,
            cancel_requested=self.cancel_requested,
            labels=self.labels,
            progress=self._progress_event(),
        )

    def _progress_event(self) -> ProgressEvent | None:
        if self.progress is None:
            return None
        event = decode_event(compose_event(self.execution_id, self.progress))
        assert isinstance(event, ProgressEvent)
        return event


def _encode(request: ExecuteHead) -> bytes:
    if isinstance(request, UnparsedExecute):
        return request.to_frame()
    # What it does not say would be most of it.
    return request.__pydantic_serializer__.to_json(request, exclude_none=True)


def _retry_options_of(request: ExecuteHead) -> RetryOptions:
    attempts, kinds, delay = request.max_attempts, request.retry_on, request.backoff_seconds
    if attempts is None and kinds is None and delay is None:
        return _NO_OPTIONS
    return RetryOptions(attempts, None if kinds is None else frozenset(kinds), delay)
