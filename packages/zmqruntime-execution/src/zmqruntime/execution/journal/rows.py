"""Converts executions to the rows of a journal, and back."""

from __future__ import annotations

import json
import zlib
from functools import cache
from typing import Final, NamedTuple

from pydantic import TypeAdapter

from zmqruntime.execution.lifecycle.events import ProgressReport
from zmqruntime.execution.lifecycle.execution import Execution, RetryOptions
from zmqruntime.messages import AttemptInfo, ErrorKind, ExecutionErrorInfo, ExecutionStatus, encode
from zmqruntime.messages.lowlevel import encode_json

__all__ = [
    "Origin",
    "State",
    "checksum",
    "content_checksum",
    "origin_of",
    "read_mark_row",
    "state_checksum",
    "state_of",
    "to_execution",
]

_NO_OPTIONS: Final = b"[null, 0, null, null, null]"


class Origin(NamedTuple):
    """The columns of an execution that never change."""

    ticket: int
    execution_id: str
    client_id: str
    fingerprint: bytes
    labels: bytes
    options: bytes
    submitted_at: float


class State(NamedTuple):
    """The columns of an execution that change during its life."""

    status: str
    attempt: int
    started_at: float | None
    finished_at: float | None
    ended: int | None
    """Its number in the order in which executions have ended."""
    cancel_requested: int
    sequence: int
    progress: bytes | None
    error: bytes | None
    attempts: bytes
    retry_at: float | None


def checksum(values: tuple[object, ...]) -> int:
    """Return the CRC-32 of a row: SQLite keeps no checksums of its own."""
    return zlib.crc32(repr(tuple(values)).encode())


def state_checksum(ticket: int, state: State) -> int:
    """Return the CRC-32 of a state together with the ticket that it belongs to."""
    return checksum((ticket, *state))


def content_checksum(ticket: int, request: bytes | None, result: bytes | None) -> int:
    """Return the CRC-32 of a request and a result, without a copy of either."""
    sizes = None if request is None else len(request), None if result is None else len(result)
    start = zlib.crc32(b"%d %a" % (ticket, sizes))
    return zlib.crc32(result or b"", zlib.crc32(request or b"", start))


def read_mark_row(place: int, ticket: int) -> tuple[int, int, int]:
    """Return the row of a record that was read, at its place in the order of reading."""
    return place, ticket, checksum((place, ticket))


def origin_of(execution: Execution) -> Origin:
    """Return the constant columns of an execution."""
    return Origin(
        execution.ticket,
        execution.execution_id,
        execution.client_id,
        execution.fingerprint if execution.is_short else execution.compute_fingerprint(),
        encode_json(execution.labels) if execution.labels else b"{}",
        _write_options(execution),
        execution.submitted_at,
    )


def state_of(execution: Execution, ended: int | None) -> State:
    """Return the variable columns of an execution; ``ended`` as in `State`."""
    progress, error = execution.progress, execution.error
    return State(
        execution.status.value,
        execution.attempt,
        execution.started_at,
        execution.finished_at,
        ended,
        int(execution.cancel_requested),  # As SQLite returns it, for the checksum.
        execution.sequence,
        None if progress is None else _write_progress(progress),
        None if error is None else encode(error),
        _attempts().dump_json(execution.attempts) if execution.attempts else b"[]",
        execution.retry_at,
    )


def to_execution(
    origin: Origin, state: State, request: bytes | None, result: bytes | None
) -> Execution:
    """Return the execution of a row.

    Raises:
        ValueError, TypeError, KeyError: a column has an invalid value.
    """
    timeout_seconds, priority, retry = _read_options(origin.options)
    progress, error = state.progress, state.error
    status = ExecutionStatus(state.status)
    if not request and not (status.is_terminal and origin.fingerprint):
        raise ValueError(f"the request of {origin.execution_id!r} is missing")
    return Execution(
        execution_id=origin.execution_id,
        client_id=origin.client_id,
        request=request or b"",
        fingerprint=origin.fingerprint,
        labels=json.loads(origin.labels) if origin.labels != b"{}" else {},
        timeout_seconds=timeout_seconds,
        submitted_at=origin.submitted_at,
        ticket=origin.ticket,
        priority=priority,
        retry=retry,
        status=status,
        attempt=state.attempt,
        started_at=state.started_at,
        finished_at=state.finished_at,
        cancel_requested=bool(state.cancel_requested),
        sequence=state.sequence,
        progress=None if progress is None else _read_progress(progress),
        result=result,
        error=None if error is None else ExecutionErrorInfo.model_validate_json(error),
        attempts=_attempts().validate_json(state.attempts) if state.attempts != b"[]" else (),
        retry_at=state.retry_at,
    )


def _write_options(execution: Execution) -> bytes:
    retry = execution.retry
    if execution.timeout_seconds is None and not execution.priority and retry == RetryOptions():
        return _NO_OPTIONS
    kinds = None if retry.retry_on is None else sorted(retry.retry_on)
    return json.dumps(
        [
            execution.timeout_seconds,
            execution.priority,
            retry.max_attempts,
            kinds,
            retry.backoff_seconds,
        ]
    ).encode()


def _read_options(options: bytes) -> tuple[float | None, int, RetryOptions]:
    if options == _NO_OPTIONS:
        return None, 0, RetryOptions()
    timeout_seconds, priority, max_attempts, kinds, backoff_seconds = json.loads(options)
    retry_on = None if kinds is None else frozenset(map(ErrorKind, kinds))
    return timeout_seconds, priority, RetryOptions(max_attempts, retry_on, backoff_seconds)


# Built on first use: few executions are retried.
@cache
def _attempts() -> TypeAdapter[tuple[AttemptInfo, ...]]:
    return TypeAdapter(tuple[AttemptInfo, ...])


def _write_progress(progress: ProgressReport) -> bytes:
    return b"%d %b %b" % (progress.sequence, repr(progress.timestamp).encode(), progress.body)


def _read_progress(progress: bytes) -> ProgressReport:
    sequence, timestamp, body = progress.split(b" ", 2)
    return ProgressReport(int(sequence), float(timestamp), body)
