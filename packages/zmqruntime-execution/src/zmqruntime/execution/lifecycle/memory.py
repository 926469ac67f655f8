"""The lifecycle engine that keeps executions in memory."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Final

from sortedcontainers import SortedDict

from zmqruntime.execution.lifecycle.engine import LifecycleEngine, QueuePage
from zmqruntime.execution.lifecycle.events import ProgressReport
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.history import History, HistoryLimits, Tombstone
from zmqruntime.execution.lifecycle.queue import Place, QueuePolicy, make_queue
from zmqruntime.execution.lifecycle.transitions import check_transition
from zmqruntime.messages import (
    MAX_ATTEMPTS,
    AttemptInfo,
    ExecuteHead,
    ExecutionErrorInfo,
    ExecutionStatus,
)

__all__ = ["InMemoryLifecycleEngine"]

_QUEUED, _RUNNING = ExecutionStatus.QUEUED, ExecutionStatus.RUNNING

_FEW: Final = 10
"""How many records one event evicts from history: each may have a log to be removed."""
_SOME: Final = 50
"""How many records `evict_more` evicts."""
_NEVER: Final = float("-inf")

# The part of the queue, ready or delayed, and the place in it.
_CURSOR = re.compile(
    r"([rd]):(-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[-+][0-9]{1,3})?):([0-9]{1,20})", re.ASCII
)


class InMemoryLifecycleEngine(LifecycleEngine):
    """Keeps executions as long as the process lives.

    Args:
        history_limit: overrides that of ``limits``.
        history_seconds: overrides that of ``limits``.
        queue_policy: the order of the queue.
        limits: the limits of history; None: the defaults.
    """

    def __init__(
        self,
        history_limit: int | None = None,
        *,
        history_seconds: float | None = None,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
        limits: HistoryLimits | None = None,
    ) -> None:
        limits = limits or HistoryLimits()
        if history_limit is not None:
            limits = replace(limits, history_limit=history_limit)
        if history_seconds is not None:
            limits = replace(limits, history_seconds=history_seconds)
        self._limits = limits
        self._history = History(self._limits)
        self._tombstones: OrderedDict[str, Tombstone] = OrderedDict()
        self._tombstone_numbers = count()
        self._executions: dict[str, Execution] = {}
        self._queue = make_queue(queue_policy)
        self._delayed: SortedDict[Place, Execution] = SortedDict()
        self._running: dict[str, Execution] = {}
        self._dropped: list[str] = []
        self._counts = dict.fromkeys(ExecutionStatus, 0)
        self._queued_bytes = 0
        self._tickets = count()

    def submit(self, request: ExecuteHead, now: float, frame: bytes = b"") -> Execution:
        execution = Execution.from_request(request, next(self._tickets), now, frame)
        assert execution.execution_id not in self._executions
        self._executions[execution.execution_id] = execution
        self._queue.add(execution)
        self._queued_bytes += len(execution.request)
        self._counts[_QUEUED] += 1
        return execution

    def start(self, execution_id: str, now: float) -> Execution:
        execution = self._move(execution_id, _RUNNING)
        execution.started_at = now
        self._running[execution_id] = execution
        return execution

    def request_cancel(self, execution_id: str) -> Execution:
        execution = self._running[execution_id]
        execution.cancel_requested = True
        return execution

    def requeue(
        self,
        execution_id: str,
        *,
        failed: AttemptInfo | None = None,
        retry_at: float | None = None,
    ) -> Execution:
        execution = self._move(execution_id, _QUEUED)
        execution.started_at = None
        execution.cancel_requested = False
        if failed is not None:
            execution.attempt += 1
            execution.attempts = (*execution.attempts, failed)[-MAX_ATTEMPTS:]
            execution.progress = None
        execution.retry_at = retry_at
        if failed is None and retry_at is None:
            self._queued_bytes += len(execution.request)
            self._queue.put_back(execution)
        else:
            self._wait(execution)
        return execution

    def release(self, execution_id: str) -> None:
        execution = self._executions[execution_id]
        del self._delayed[_when(execution)]
        execution.retry_at = None
        self._queue.add(execution)

    def finish(
        self,
        execution_id: str,
        status: ExecutionStatus,
        now: float,
        *,
        result: bytes | None = None,
        error: ExecutionErrorInfo | None = None,
    ) -> Execution:
        execution = self._move(execution_id, status)
        execution.finished_at = now
        execution.result = result
        execution.error = error
        execution.retry_at = None
        execution.drop_request_body()
        if self._history.add(execution):
            self._evict(now, _FEW)
        return execution

    def mark_read(self, execution_id: str) -> None:
        if self._history.mark_read(execution_id):
            # Records beyond the age limit are evicted when others end.
            self.has_excess = self._evict_read(_NEVER, _FEW) <= 0 or self.has_excess

    def evict_more(self, now: float) -> None:
        self._evict(now, _SOME)

    def take_dropped(self) -> Sequence[str]:
        if not self._dropped:
            return ()
        dropped, self._dropped = self._dropped, []
        return dropped

    def keep_progress(
        self, execution_id: str, bodies: Sequence[bytes], now: float
    ) -> tuple[ProgressReport, ...]:
        execution = self._running[execution_id]
        reports: list[ProgressReport] = []
        for body in bodies:
            execution.sequence += 1
            reports.append(ProgressReport(execution.sequence, now, body))
        execution.progress = reports[-1]
        return tuple(reports)

    def get(self, execution_id: str) -> Execution | None:
        execution = self._executions.get(execution_id)
        if execution is None and self._tombstones:
            tombstone = self._tombstones.get(execution_id)
            return None if tombstone is None else tombstone.to_execution()
        return execution

    def peek(self) -> Execution | None:
        return self._queue.peek()

    def position(self, execution_id: str) -> int:
        execution = self._executions[execution_id]
        if execution.retry_at is None:
            return self._queue.index(execution) + 1
        return len(self._queue) + self._delayed.index(_when(execution)) + 1

    def list_queued(self, limit: int, cursor: str | None = None) -> QueuePage:
        part, after = _read_cursor(cursor) if cursor is not None else ("r", None)
        entries: list[tuple[int, Execution]] = []
        last = cursor
        if part == "r":
            first, found = self._queue.page(limit, after)
            entries = [(first + n, execution) for n, (_, execution) in enumerate(found, start=1)]
            if found:
                last = _write_cursor("r", found[-1][0])
            after = None
        if len(entries) < limit and self._delayed:
            first = self._delayed.bisect_right(after) if after is not None else 0
            ahead = len(self._queue) + first
            places = self._delayed.keys()[first : first + limit - len(entries)]
            entries += [(ahead + n, self._delayed[p]) for n, p in enumerate(places, start=1)]
            if places:
                last = _write_cursor("d", places[-1])
        # A full page may be the last one: the next one is then empty.
        return QueuePage(entries, last if limit > 0 and len(entries) == limit else None)

    def list_delayed(self) -> Sequence[Execution]:
        return list(self._delayed.values())

    def list_running(self) -> Sequence[Execution]:
        return list(self._running.values())

    @property
    def counts(self) -> Mapping[ExecutionStatus, int]:
        return self._counts

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes

    def _wait(self, execution: Execution) -> None:
        """Add an execution to the queue, or to the delayed ones."""
        self._queued_bytes += len(execution.request)
        if execution.retry_at is None:
            self._queue.add(execution)
        else:
            self._delayed[_when(execution)] = execution

    def _move(self, execution_id: str, status: ExecutionStatus) -> Execution:
        execution = self._executions[execution_id]
        check_transition(execution_id, execution.status, status)
        self._leave(execution, runs=status is _RUNNING)
        self._counts[status] += 1
        execution.status = status
        execution.sequence += 1
        return execution

    def _leave(self, execution: Execution, *, runs: bool) -> None:
        """Remove an execution from the collection of its state."""
        self._counts[execution.status] -= 1
        if execution.status is _RUNNING:
            del self._running[execution.execution_id]
            return
        self._queued_bytes -= len(execution.request)
        if execution.retry_at is not None:
            del self._delayed[_when(execution)]
        elif runs:
            self._queue.take(execution)
        else:
            self._queue.drop(execution)

    def _evict(self, now: float, limit: float) -> None:
        """Evict up to ``limit`` records that are beyond the limits, read ones first."""
        limit = self._evict_read(now, limit)
        while limit > 0 and (unread := self._history.evict_unread(now)) is not None:
            limit -= 1
            self._forget(unread)
            if self._limits.history_limit and self._limits.tombstone_limit:
                self._bury(Tombstone.of(unread, next(self._tombstone_numbers)))
        self.has_excess = limit <= 0

    def _evict_read(self, now: float, limit: float) -> float:
        """Evict up to ``limit`` read records; return how much of the limit is left."""
        while limit > 0 and (read := self._history.evict_read(now)) is not None:
            limit -= 1
            self._forget(read)
        return limit

    def _forget(self, execution: Execution) -> None:
        del self._executions[execution.execution_id]
        self._dropped.append(execution.execution_id)
        self._counts[execution.status] -= 1

    def _bury(self, tombstone: Tombstone) -> None:
        """Keep a tombstone; beyond the limit, in place of the oldest one."""
        if len(self._tombstones) >= self._limits.tombstone_limit:
            self._unbury(self._tombstones.popitem(last=False)[1])
        self._tombstones[tombstone.execution_id] = tombstone

    def _unbury(self, tombstone: Tombstone) -> None:
        """Called when a tombstone is dropped."""


def _when(execution: Execution) -> Place:
    assert execution.retry_at is not None
    return (execution.retry_at, execution.ticket)


def _write_cursor(part: str, place: Place) -> str:
    return f"{part}:{place[0]!r}:{place[1]}"


def _read_cursor(cursor: str) -> tuple[str, Place]:
    if not (found := _CURSOR.fullmatch(cursor)):
        raise ValueError(
            f"{cursor!r} is not a cursor of this server: use that of the previous page"
        )
    return found[1], (float(found[2]), int(found[3]))
