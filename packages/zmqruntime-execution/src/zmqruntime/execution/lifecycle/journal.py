"""The lifecycle engine whose executions outlive the process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from zmqruntime.execution.errors import CommitFailed, JournalUnusable
from zmqruntime.execution.lifecycle.events import ProgressReport
from zmqruntime.execution.lifecycle.execution import Execution, RetryWish
from zmqruntime.execution.lifecycle.journal_file import Changes, JournalFile, Row
from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine
from zmqruntime.execution.lifecycle.queue import QueuePolicy
from zmqruntime.messages import (
    AttemptInfo,
    ErrorKind,
    ExecuteRequest,
    ExecutionErrorInfo,
    ExecutionStatus,
    encode,
    encode_json,
)

__all__ = ["JournalLifecycleEngine"]

SEQUENCE_GAP: Final = 2**32
"""By how much the numbers of events go on after a death in the midst of a run.

The number of the last progress is not written at once, and none may be used twice.
"""

_PROGRESS_SECONDS: Final = 1.0

_ATTEMPTS = TypeAdapter(tuple[AttemptInfo, ...])


class JournalLifecycleEngine(InMemoryLifecycleEngine):
    """Keeps executions in memory to work with, and in a journal to come back to.

    What has changed is written at the next `commit`, together. The latest progress is written
    along with anything else, and at most once in a second by itself.

    Args:
        path: the journal's file; made when there is none. Its directory has to exist.
        history_limit: how many finished executions to keep; the oldest are dropped.
        history_seconds: how long to keep them; they are dropped as others end. None: any time.
        queue_policy: whose turn is next. Turns begin anew when a journal is opened.

    Raises:
        JournalInUse: another server has it open.
        JournalUnusable: it is damaged, or no journal, or cannot be opened.
    """

    def __init__(
        self,
        path: Path | str,
        history_limit: int = 1000,
        *,
        history_seconds: float | None = None,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
    ) -> None:
        super().__init__(history_limit, history_seconds=history_seconds, queue_policy=queue_policy)
        # By ticket. What was added is in no journal yet.
        self._added: dict[int, Execution] = {}
        self._changed: dict[int, Execution] = {}
        self._dropped: list[int] = []
        self._ended: dict[int, int] = {}
        self._ends = count()
        self._progressed: dict[int, Execution] = {}
        self._progress_written_at = float("-inf")
        self._progress_is_due = False
        self._available = True
        self._file = JournalFile(Path(path))
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise

    # -- what happens ---------------------------------------------------------------------------

    def submit(self, request: ExecuteRequest, now: float) -> Execution:
        execution = super().submit(request, now)
        self._added[execution.ticket] = execution
        return execution

    def start(self, execution_id: str, now: float) -> Execution:
        return self._note(super().start(execution_id, now))

    def request_cancel(self, execution_id: str) -> Execution:
        return self._note(super().request_cancel(execution_id))

    def requeue(
        self,
        execution_id: str,
        *,
        failed: AttemptInfo | None = None,
        retry_at: float | None = None,
    ) -> Execution:
        return self._note(super().requeue(execution_id, failed=failed, retry_at=retry_at))

    def release(self, execution_id: str) -> None:
        super().release(execution_id)
        self._note(self._executions[execution_id])

    def finish(
        self,
        execution_id: str,
        status: ExecutionStatus,
        now: float,
        *,
        result: bytes | None = None,
        error: ExecutionErrorInfo | None = None,
    ) -> Execution:
        ticket = self._executions[execution_id].ticket
        execution = super().finish(execution_id, status, now, result=result, error=error)
        if self.get(execution_id) is execution:  # No history, no end to keep.
            self._ended[ticket] = next(self._ends)
            self._note(execution)
        return execution

    def keep_progress(self, execution_id: str, report: ProgressReport) -> None:
        super().keep_progress(execution_id, report)
        execution = self._running[execution_id]
        self._progressed[execution.ticket] = execution
        age = report.timestamp - self._progress_written_at
        if not 0 <= age < _PROGRESS_SECONDS:  # Also when the clock was set back.
            self._progress_is_due = True
            self._progress_written_at = report.timestamp

    def _note(self, execution: Execution) -> Execution:
        if execution.ticket not in self._added:
            self._changed[execution.ticket] = execution
        return execution

    def _forget(self, execution: Execution) -> None:
        super()._forget(execution)
        ticket = execution.ticket
        self._ended.pop(ticket, None)
        self._changed.pop(ticket, None)
        self._progressed.pop(ticket, None)
        if self._added.pop(ticket, None) is None:
            self._dropped.append(ticket)

    # -- what is kept ---------------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        return True

    @property
    def uncommitted(self) -> bool:
        return bool(self._added or self._changed or self._dropped) or self._progress_is_due

    @property
    def available(self) -> bool:
        return self._available

    def commit(self) -> None:
        if self.uncommitted:
            self._commit()

    def withdraw(self) -> Sequence[Execution]:
        withdrawn = list(self._added.values())
        for execution in withdrawn:
            if execution.status.is_terminal:
                self._finished.remove(execution)
                self._forget(execution)
            else:
                self._leave(execution, runs=False)
                del self._executions[execution.execution_id]
            self._ended.pop(execution.ticket, None)
            self._progressed.pop(execution.ticket, None)
        self._added.clear()
        return withdrawn

    def close(self) -> None:
        try:
            self._progress_is_due = bool(self._progressed)
            self.commit()
        finally:
            self._file.close()

    def _commit(self) -> None:
        added = list(self._added.values())
        changed = list((self._progressed | self._changed).values())
        # One that was added has progressed as it was added.
        changed = [execution for execution in changed if execution.ticket not in self._added]
        ended = [e for e in (*added, *changed) if e.ticket in self._ended]
        changes = Changes(
            added=[self._to_row(execution) for execution in added],
            requests=[(e.ticket, e.request) for e in added if e.ticket not in self._ended],
            changed=[self._to_row(execution) for execution in changed],
            results=[(execution.ticket, execution.result) for execution in ended],
            dropped=self._dropped,
        )
        try:
            self._file.write(changes)
        except CommitFailed:
            self._available = False
            raise
        self._available = True
        self._added.clear()
        self._changed.clear()
        self._progressed.clear()
        self._progress_is_due = False
        self._dropped = []

    def _to_row(self, execution: Execution) -> Row:
        progress, error, retry = execution.progress, execution.error, execution.retry
        return Row(
            ticket=execution.ticket,
            execution_id=execution.execution_id,
            client_id=execution.client_id,
            fingerprint=execution.fingerprint,
            labels=encode_json(execution.labels) if execution.labels else b"{}",
            options=_write_options(execution.timeout_seconds, execution.priority, retry),
            submitted_at=execution.submitted_at,
            status=execution.status.value,
            attempt=execution.attempt,
            started_at=execution.started_at,
            finished_at=execution.finished_at,
            ended=self._ended.get(execution.ticket),
            cancel_requested=execution.cancel_requested,
            sequence=execution.sequence,
            progress=None if progress is None else _write_progress(progress),
            error=None if error is None else encode(error),
            attempts=_ATTEMPTS.dump_json(execution.attempts) if execution.attempts else b"[]",
            retry_at=execution.retry_at,
        )

    # -- coming back ----------------------------------------------------------------------------

    def _load(self) -> None:
        ended: list[tuple[int, Execution]] = []
        ticket = -1
        try:
            for row, request, result in self._file.read():
                execution = _to_execution(row, request, result)
                ticket = execution.ticket
                self._take_back(execution)
                if row.ended is not None:
                    ended.append((row.ended, execution))
        except (ValueError, TypeError, KeyError) as error:
            reason = "its fields" if isinstance(error, ValidationError) else str(error)
            raise JournalUnusable(
                f"the journal {self._file.path} is damaged ({reason}): restore it from a copy, or "
                "move it away to begin a new one"
            ) from error
        ended.sort(key=lambda entry: entry[0])
        self._finished.extend(execution for _, execution in ended)
        self._ended = {execution.ticket: number for number, execution in ended}
        self._ends = count(ended[-1][0] + 1 if ended else 0)
        self._tickets = count(ticket + 1)
        if ended:
            self._prune(max(execution.finished_at or 0.0 for _, execution in ended))

    def _take_back(self, execution: Execution) -> None:
        self._executions[execution.execution_id] = execution
        self._counts[execution.status] += 1
        if execution.status is ExecutionStatus.RUNNING:
            execution.sequence += SEQUENCE_GAP
            self._running[execution.execution_id] = execution
        elif execution.status is ExecutionStatus.QUEUED:
            self._wait(execution)


def _write_options(timeout_seconds: float | None, priority: int, retry: RetryWish) -> bytes:
    kinds = None if retry.retry_on is None else sorted(retry.retry_on)
    options = [timeout_seconds, priority, retry.max_attempts, kinds, retry.backoff_seconds]
    return json.dumps(options).encode()


def _read_options(options: bytes) -> tuple[float | None, int, RetryWish]:
    timeout_seconds, priority, max_attempts, kinds, backoff_seconds = json.loads(options)
    retry_on = None if kinds is None else frozenset(map(ErrorKind, kinds))
    return timeout_seconds, priority, RetryWish(max_attempts, retry_on, backoff_seconds)


def _write_progress(progress: ProgressReport) -> bytes:
    return b"%d %b %b" % (progress.sequence, repr(progress.timestamp).encode(), progress.body)


def _read_progress(progress: bytes) -> ProgressReport:
    sequence, timestamp, body = progress.split(b" ", 2)
    return ProgressReport(int(sequence), float(timestamp), body)


def _to_execution(row: Row, request: bytes | None, result: bytes | None) -> Execution:
    timeout_seconds, priority, retry = _read_options(row.options)
    error = row.error
    return Execution(
        execution_id=row.execution_id,
        client_id=row.client_id,
        request=request or b"",
        fingerprint=row.fingerprint,
        labels=json.loads(row.labels),
        timeout_seconds=timeout_seconds,
        submitted_at=row.submitted_at,
        ticket=row.ticket,
        priority=priority,
        retry=retry,
        status=ExecutionStatus(row.status),
        attempt=row.attempt,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_requested=bool(row.cancel_requested),
        sequence=row.sequence,
        progress=None if row.progress is None else _read_progress(row.progress),
        result=result,
        error=None if error is None else ExecutionErrorInfo.model_validate_json(error),
        attempts=_ATTEMPTS.validate_json(row.attempts),
        retry_at=row.retry_at,
    )
