"""One execution as a server keeps it, with the application's parts still encoded."""

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

# Up to so many bytes, a request is kept after its end, in place of a fingerprint that costs more.
_SHORT_BYTES = 512

_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def fingerprint(request: ExecuteHead) -> bytes:
    """Return a hash that is equal for requests for the same work, however their JSON is formatted.

    An unparsed task or config is compared byte by byte.
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
    """The retry settings of a request; None: the server's default."""

    max_attempts: int | None = None
    retry_on: Set[ErrorKind] | None = None
    backoff_seconds: float | None = None


_NO_OPTIONS = RetryOptions()
_NO_LABELS: Final[Labels] = {}


@dataclass(slots=True, kw_only=True)
class Execution:
    """One execution. A lifecycle engine alone changes it."""

    execution_id: str
    client_id: str
    request: bytes
    """The encoded `ExecuteRequest`, for the worker and for `is_same_work`."""
    fingerprint: bytes = b""
    """The hash of its work, once it was computed; see `compute_fingerprint`."""
    labels: Labels
    timeout_seconds: float | None
    submitted_at: float
    ticket: int
    """Its number in the order of arrival."""
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
    """The latest report."""
    result: bytes | None = None
    """What the task returned, encoded."""
    error: ExecutionErrorInfo | None = None
    attempts: tuple[AttemptInfo, ...] = ()
    """The failed attempts before the present one."""
    retry_at: float | None = None
    """The end of the backoff before its next attempt, in Unix seconds."""
    kept_bytes: int = 0
    """Its approximate size in memory since its end."""
    result_dropped: bool = False
    """Whether its record was evicted unread, and this is its tombstone."""

    def __post_init__(self) -> None:
        # Shared by many records, and never changed.
        self.client_id = sys.intern(self.client_id)
        self.labels = self.labels or _NO_LABELS

    @classmethod
    def from_request(
        cls, request: ExecuteHead, ticket: int, now: float, frame: bytes = b""
    ) -> Execution:
        """Return a queued execution of ``request``, which has an ``execution_id``.

        ``frame``: the received frame; empty: the request is encoded.
        """
        assert request.execution_id is not None
        return cls(
            execution_id=request.execution_id,
            client_id=request.client_id,
            # A request with line breaks does not fit into a journal's redo log, whose entries are
            # lines; one longer than `MAX_REQUEST_BYTES` is not written there in any case.
            request=frame
            if frame and (len(frame) > MAX_REQUEST_BYTES or b"\n" not in frame)
            else _encode(request),
            # Computed now, while the frame is split: it is needed at the end.
            fingerprint=fingerprint(request) if type(request) is UnparsedExecute else b"",
            labels=request.labels,
            timeout_seconds=request.timeout_seconds,
            submitted_at=now,
            ticket=ticket,
            priority=request.priority,
            retry=_retry_options_of(request),
        )

    def is_same_work(self, request: ExecuteHead) -> bool:
        """Whether ``request`` is for the work that this execution was submitted for."""
        return fingerprint(request) == self.compute_fingerprint()

    def compute_fingerprint(self) -> bytes:
        """Return the fingerprint of its work."""
        if not self.fingerprint:
            request = decode_request(self.request)
            assert isinstance(request, ExecuteRequest)
            self.fingerprint = fingerprint(request)
        return self.fingerprint

    @property
    def is_short(self) -> bool:
        """Whether its request is kept after its end, in place of the fingerprint."""
        return 0 < len(self.request) <= _SHORT_BYTES

    def drop_request_body(self) -> None:
        """Replace the request by its fingerprint, unless it is short."""
        if not self.is_short:
            self.compute_fingerprint()
            self.request = b""

    def to_state_change(self, timestamp: float) -> StateChange:
        """Return the event of the transition to its present state."""
        return StateChange(
            self.sequence,
            timestamp,
            self.status,
            self.submitted_at,
            self.started_at,
            self.error,
        )

    def to_queued_info(self, queue_position: int) -> QueuedExecutionInfo:
        """Return its entry in a list of the queue."""
        return QueuedExecutionInfo(
            execution_id=self.execution_id,
            client_id=self.client_id,
            queue_position=queue_position,
            submitted_at=self.submitted_at,
            labels=self.labels,
        )

    def to_running_info(self) -> RunningExecutionInfo:
        """Return its entry in a list of running executions."""
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
    # Unset fields would be most of it.
    return request.__pydantic_serializer__.to_json(request, exclude_none=True)


def _retry_options_of(request: ExecuteHead) -> RetryOptions:
    attempts, kinds, delay = request.max_attempts, request.retry_on, request.backoff_seconds
    if attempts is None and kinds is None and delay is None:
        return _NO_OPTIONS
    return RetryOptions(attempts, None if kinds is None else frozenset(kinds), delay)
