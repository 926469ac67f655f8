"""The lifecycle engine whose executions outlive the process."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from zmqruntime.execution.errors import CommitFailed
from zmqruntime.execution.journal.file import JournalFile
from zmqruntime.execution.journal.pending import UnwrittenChanges
from zmqruntime.execution.journal.recovery import recover
from zmqruntime.execution.lifecycle.events import ProgressReport
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.history import HistoryLimits, Tombstone
from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine
from zmqruntime.execution.lifecycle.queue import QueuePolicy
from zmqruntime.messages import (
    AttemptInfo,
    ExecuteHead,
    ExecutionErrorInfo,
    ExecutionStatus,
)

__all__ = ["JournalLifecycleEngine"]

_log = logging.getLogger("zmqruntime.server")


class JournalLifecycleEngine(InMemoryLifecycleEngine):
    """Keeps executions in memory to work with, and in a journal to come back to.

    What has changed is made sure of at the next `commit`, together. The start of an execution is
    noted beside the journal at once, with what it was submitted as if that is not written yet; one
    that cannot be noted waits for the commit. Where that finds nothing but short tasks which have
    returned, it notes this, too, and has the notes on disk: the journal lags, as does the latest
    progress. What lags is written along with anything else, or a second later. Which records were
    read is written at the end alone: behind a crash they count as unread.

    Args:
        path: the journal's file; made when there is none. Its directory has to exist, and be one
            in which no other user can write: a server refuses another one before it opens it.
        history_limit: how many records that were read to keep; None: as ``limits`` has it.
        history_seconds: how old a record may be; None: as ``limits`` has it.
        queue_policy: whose turn is next. Turns begin anew when a journal is opened.
        limits: those of history; None: the usual ones.

    Raises:
        JournalInUse: another server has it open.
        JournalUnusable: it is damaged, or no journal, or cannot be opened.
    """

    def __init__(
        self,
        path: Path | str,
        history_limit: int | None = None,
        *,
        history_seconds: float | None = None,
        queue_policy: QueuePolicy = QueuePolicy.FIFO,
        limits: HistoryLimits | None = None,
    ) -> None:
        super().__init__(
            history_limit,
            history_seconds=history_seconds,
            queue_policy=queue_policy,
            limits=limits,
        )
        self._changes = UnwrittenChanges()
        self._ends = count()
        self._available = True
        self._file = JournalFile(Path(path))
        try:
            self._load()
            self._file.hold()
            self._begin()
        except BaseException:
            self._file.close()
            raise

    # -- what happens ---------------------------------------------------------------------------

    def submit(self, request: ExecuteHead, now: float, frame: bytes = b"") -> Execution:
        execution = super().submit(request, now, frame)
        self._changes.submit(execution)
        return execution

    def start(self, execution_id: str, now: float) -> Execution:
        execution = super().start(execution_id, now)
        note = self._changes.start_note(execution)
        if note is not None and self._file.notes.add(note):
            self._changes.start(execution)
        else:
            self._changes.change(execution)
        return execution

    def request_cancel(self, execution_id: str) -> Execution:
        execution = super().request_cancel(execution_id)
        self._changes.change(execution)
        return execution

    def requeue(
        self,
        execution_id: str,
        *,
        failed: AttemptInfo | None = None,
        retry_at: float | None = None,
    ) -> Execution:
        execution = super().requeue(execution_id, failed=failed, retry_at=retry_at)
        self._changes.change(execution)
        return execution

    def release(self, execution_id: str) -> None:
        super().release(execution_id)
        self._changes.change(self._executions[execution_id])

    def finish(
        self,
        execution_id: str,
        status: ExecutionStatus,
        now: float,
        *,
        result: bytes | None = None,
        error: ExecutionErrorInfo | None = None,
    ) -> Execution:
        execution = super().finish(execution_id, status, now, result=result, error=error)
        if self._executions.get(execution_id) is execution:  # No history, no end to keep.
            self._changes.finish(execution, next(self._ends))
        else:
            self._changes.is_due = True
        return execution

    def keep_progress(
        self, execution_id: str, bodies: Sequence[bytes], now: float
    ) -> tuple[ProgressReport, ...]:
        reports = super().keep_progress(execution_id, bodies, now)
        self._changes.progress(self._running[execution_id])
        return reports

    def _forget(self, execution: Execution) -> None:
        super()._forget(execution)
        self._changes.drop(execution)

    def _bury(self, tombstone: Tombstone) -> None:
        super()._bury(tombstone)
        self._changes.bury(tombstone)

    def _unbury(self, tombstone: Tombstone) -> None:
        self._changes.unbury(tombstone)

    # -- what is kept ---------------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        return True

    @property
    def uncommitted(self) -> bool:
        # Whether it works again is found out by trying.
        return self._changes.is_any or not self._available

    @property
    def lags(self) -> bool:
        return self._changes.lags

    def catch_up(self) -> None:
        self._changes.is_due = self.lags

    @property
    def available(self) -> bool:
        return self._available

    def is_committed(self, execution_id: str) -> bool:
        return self._changes.may_begin(self._executions[execution_id].ticket)

    def commit(self) -> None:
        if self.uncommitted and not self._settle():
            self._write()

    def rollback(self) -> Sequence[Execution]:
        withdrawn = [e for e in self._changes.unaccepted() if not _has_run(e)]
        for execution in withdrawn:
            if self._changes.has_note(execution.ticket):
                self._file.notes.take_back(execution.ticket)
            if execution.status.is_terminal:
                self._history.remove(execution)
                self._counts[execution.status] -= 1
            else:
                self._leave(execution, runs=False)
            del self._executions[execution.execution_id]
            self._changes.leave_out(execution.ticket)
        return withdrawn

    def close(self) -> None:
        is_whole = False
        try:
            self._write(closing=True)
            is_whole = True
        finally:
            self._file.close(forget_notes=is_whole)

    def _settle(self) -> bool:
        """Have what notes can tell on disk as notes, if that is all; say if it worked."""
        changes, notes = self._changes, self._file.notes
        if changes.must_be_written or not self._available:
            return False
        if not (all(map(notes.add, changes.end_notes())) and notes.sync()):
            return False
        try:
            self._file.check()
        except CommitFailed:
            self._available = False
            raise
        changes.settle()
        return True

    def _begin(self) -> None:
        """Write what was found, and that a server has the journal now."""
        try:
            self._write()
        except CommitFailed as error:
            _log.error("%s; nothing is accepted or started until it can be", error)

    def _write(self, *, closing: bool = False) -> None:
        changes = self._changes.to_changes(self._history.list_read() if closing else ())
        try:
            self._file.write(changes, closing=closing)
        except CommitFailed:
            self._available = False
            raise
        self._available = True
        self._changes = UnwrittenChanges()

    def _load(self) -> None:
        """Go on with what the last server has left."""
        ended: list[tuple[int, Execution]] = []
        ticket = -1
        for found in recover(self._file):
            execution = found.execution
            ticket = max(ticket, execution.ticket)
            self._executions[execution.execution_id] = execution
            self._counts[execution.status] += 1
            if execution.status is ExecutionStatus.RUNNING:
                self._running[execution.execution_id] = execution
            elif execution.status is ExecutionStatus.QUEUED:
                self._wait(execution)
            if found.ended is not None:
                ended.append((found.ended, execution))
            if found.is_new:
                self._changes.submit(execution)
                self._changes.start(execution)
            if found.is_changed:
                self._changes.change(execution)
            if found.ended is not None and (found.is_new or found.is_changed):
                self._changes.finish(execution, found.ended)
        ended.sort(key=lambda entry: entry[0])
        for _, execution in ended:
            self._history.add(execution)
        self._load_history({execution.ticket: execution for _, execution in ended})
        self._ends = count(ended[-1][0] + 1 if ended else 0)
        self._tickets = count(ticket + 1)
        if ended:
            latest = max(execution.finished_at or 0.0 for _, execution in ended)
            self._evict(latest, float("inf"))
        self._changes.settle()  # It was read from there.

    def _load_history(self, ended: Mapping[int, Execution]) -> None:
        """Go on with what was read, and what was evicted unread; ``ended`` is by ticket."""
        for ticket in self._file.read_marks():
            if ticket in ended:
                self._history.mark_read(ended[ticket].execution_id)
        place = -1
        for tombstone in self._file.read_tombstones():
            place = tombstone.place
            if tombstone.execution_id in self._executions:  # Its id was used anew.
                self._changes.unbury(tombstone)
            else:
                self._tombstones[tombstone.execution_id] = tombstone
        while len(self._tombstones) > self._limits.tombstone_limit:
            self._unbury(self._tombstones.popitem(last=False)[1])
        self._tombstone_numbers = count(place + 1)


def _has_run(execution: Execution) -> bool:
    return execution.status.is_terminal and execution.started_at is not None
