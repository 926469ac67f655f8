"""History: which ended executions are kept, and which is evicted next.

A record that was read is kept for the retry of a lost reply, and is evicted first (LRU). An unread
one is evicted only at a hard limit, and leaves a `Tombstone` with its status and its error.

Each operation costs O(1).
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import ExecutionErrorInfo, ExecutionStatus, encode
from zmqruntime.transport.lowlevel import check_number

__all__ = ["History", "HistoryLimits", "Tombstone", "size_of"]

_RECORD_BYTES: Final = 1024
"""The approximate size of a record without its request, its result and other long fields."""
_MAX_MESSAGE: Final = 200
_MAX_TYPE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryLimits:
    """The limits of history.

    Args:
        history_limit: how many read records are kept; 0: no record is kept, read or not.
        history_bytes: how many bytes read records may have together; the one read last is kept in
            any case.
        history_seconds: the age limit of a record, from the end of its execution; None: any age.
        unread_limit: how many unread records are kept; at least 1.
        unread_bytes: how many bytes unread records may have together; the one that ended last is
            kept in any case.
        tombstone_limit: how many tombstones are kept.

    Raises:
        TypeError: an argument is not a number.
        ValueError: an argument is out of range.
    """

    history_limit: int = 1000
    history_bytes: int = 256 * 2**20
    history_seconds: float | None = None
    unread_limit: int = 250_000
    unread_bytes: int = 2**30
    tombstone_limit: int = 100_000

    def __post_init__(self) -> None:
        check_number("history_limit", self.history_limit, ge=0, whole=True)
        check_number("history_bytes", self.history_bytes, ge=0, whole=True)
        check_number("history_seconds", self.history_seconds, ge=0, optional=True)
        check_number("unread_limit", self.unread_limit, ge=1, whole=True)
        check_number("unread_bytes", self.unread_bytes, ge=0, whole=True)
        check_number("tombstone_limit", self.tombstone_limit, ge=0, whole=True)


class Tombstone(NamedTuple):
    """The remains of a record that was evicted unread."""

    place: int
    """Its number in the order in which tombstones are dropped."""
    execution_id: str
    client_id: str
    fingerprint: bytes
    submitted_at: float
    started_at: float | None
    finished_at: float
    status: str
    attempt: int
    sequence: int
    error: bytes | None
    """The error's kind, its type and the beginning of its message, encoded."""

    @classmethod
    def of(cls, execution: Execution, place: int) -> Tombstone:
        """Return the tombstone of an ended execution."""
        assert execution.finished_at is not None
        return cls(
            place,
            execution.execution_id,
            execution.client_id,
            execution.compute_fingerprint(),
            execution.submitted_at,
            execution.started_at,
            execution.finished_at,
            execution.status.value,
            execution.attempt,
            execution.sequence,
            None if execution.error is None else _shorten(execution.error),
        )

    def to_execution(self) -> Execution:
        """Return the execution, without what the tombstone lacks.

        Raises:
            ValueError: a field is invalid.
        """
        error = self.error
        return Execution(
            execution_id=self.execution_id,
            client_id=self.client_id,
            request=b"",
            fingerprint=self.fingerprint,
            labels={},
            timeout_seconds=None,
            submitted_at=self.submitted_at,
            ticket=-1,
            status=ExecutionStatus(self.status),
            attempt=self.attempt,
            started_at=self.started_at,
            finished_at=self.finished_at,
            sequence=self.sequence,
            error=None if error is None else ExecutionErrorInfo.model_validate_json(error),
            result_dropped=True,
        )


class History:
    """The ended executions of one engine, in the order of eviction.

    Args:
        limits: how much is kept.
    """

    def __init__(self, limits: HistoryLimits) -> None:
        self._limits = limits
        # Read at the end of each execution.
        self._unread_limit = limits.unread_limit if limits.history_limit else 0
        self._unread_bytes_limit = limits.unread_bytes
        self._seconds = limits.history_seconds
        # Ordered dicts find the first entry in constant time, also behind many removed ones.
        self._unread: OrderedDict[str, Execution] = OrderedDict()
        self._unread_bytes = 0
        self._read: OrderedDict[str, Execution] = OrderedDict()
        self._read_bytes = 0

    def add(self, execution: Execution) -> bool:
        """Add an execution that has just ended; return whether a limit may be exceeded.

        Its id must be new.
        """
        self._unread[execution.execution_id] = execution
        size = execution.kept_bytes = size_of(execution)
        self._unread_bytes += size
        return (
            len(self._unread) > self._unread_limit
            or self._unread_bytes > self._unread_bytes_limit
            or self._seconds is not None
        )

    def mark_read(self, execution_id: str) -> bool:
        """Mark a record as read; return whether a limit may be exceeded."""
        execution = self._unread.pop(execution_id, None)
        read = self._read
        if execution is None:
            if execution_id in read:
                read.move_to_end(execution_id)
            return False
        size = execution.kept_bytes
        self._unread_bytes -= size
        self._read_bytes += size
        read[execution_id] = execution
        limits = self._limits
        return len(read) > limits.history_limit or self._read_bytes > limits.history_bytes

    def remove(self, execution: Execution) -> None:
        """Remove an execution."""
        if self._unread.pop(execution.execution_id, None) is not None:
            self._unread_bytes -= execution.kept_bytes
        else:
            del self._read[execution.execution_id]
            self._read_bytes -= execution.kept_bytes

    def list_read(self) -> list[Execution]:
        """Return the read records, the next to be evicted first."""
        return list(self._read.values())

    def evict_read(self, now: float) -> Execution | None:
        """Remove and return a read record beyond a limit, if there is one."""
        read, limits = self._read, self._limits
        count = len(read)
        if (
            count > limits.history_limit
            or (count > 1 and self._read_bytes > limits.history_bytes)
            or (self._seconds is not None and _is_old(read, now - self._seconds))
        ):
            _, execution = read.popitem(last=False)
            self._read_bytes -= execution.kept_bytes
            return execution
        return None

    def evict_unread(self, now: float) -> Execution | None:
        """Remove and return an unread record beyond a limit, if there is one."""
        unread = self._unread
        count = len(unread)
        if (
            count > self._unread_limit
            or (count > 1 and self._unread_bytes > self._unread_bytes_limit)
            or (self._seconds is not None and _is_old(unread, now - self._seconds))
        ):
            _, execution = unread.popitem(last=False)
            self._unread_bytes -= execution.kept_bytes
            return execution
        return None


def _is_old(records: OrderedDict[str, Execution], oldest: float) -> bool:
    """Whether the first record ended before a time."""
    if not records:
        return False
    finished_at = next(iter(records.values())).finished_at
    return finished_at is not None and finished_at < oldest


def size_of(execution: Execution) -> int:
    """Return the approximate size of an ended execution in memory; it is final."""
    size = _RECORD_BYTES + len(execution.request)
    if execution.result is not None:
        size += len(execution.result)
    if execution.labels:
        size += sum(sys.getsizeof(k) + sys.getsizeof(v) for k, v in execution.labels.items())
    if execution.progress is not None:
        size += len(execution.progress.body)
    if execution.error is not None:
        size += _size_of_error(execution.error)
    if execution.attempts:
        size += sum(_RECORD_BYTES + _size_of_error(a.error) for a in execution.attempts)
    return size


def _size_of_error(error: ExecutionErrorInfo) -> int:
    # In memory a character may take four bytes.
    return sum(map(sys.getsizeof, (error.message, error.type, error.traceback, error.result_repr)))


def _shorten(error: ExecutionErrorInfo) -> bytes:
    return encode(
        ExecutionErrorInfo(
            kind=error.kind,
            message=error.message[:_MAX_MESSAGE],
            type=error.type and error.type[:_MAX_TYPE],
            exit_code=error.exit_code,
            signal=error.signal,
        )
    )
