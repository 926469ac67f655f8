"""The lifecycle engine whose executions survive the server's process."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from zmqruntime.execution.errors import CommitFailed
from zmqruntime.execution.journal.journal_file import JournalFile
from zmqruntime.execution.journal.pending_changes import PendingChanges
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
    """Keeps executions in memory, and persists them in a journal.

    `commit` writes all changes since the last one in a transaction. `start` appends to the
    redo log, and then needs no commit, unless the redo log cannot record it. When all changes
    are short tasks that have returned, `commit` syncs the redo log in place of a transaction.
    Then the database lags, as it does behind progress, until the next transaction or `catch_up`.
    Which records were read is written by `close` alone: after a crash they count as unread.

    Args:
        path: the journal's file, created when it is missing. Its directory has to exist. No other
            user may be able to write in it: a server checks that before it makes an engine.
        history_limit: how many records that were read to keep; None: as in ``limits``.
        history_seconds: the maximal age of a record; None: as in ``limits``.
        queue_policy: the order of the queue. `FAIR` starts anew when a journal is opened.
        limits: of history; None: the defaults.

    Raises:
        JournalInUse: another server has the journal open.
        JournalUnusable: it is damaged, not a journal, or cannot be opened.
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
        self._changes = PendingChanges()
        self._end_numbers = count()
        self._available = True
        self._file = JournalFile(Path(path))
        try:
            self._restore()
            self._file.hold()
            self._commit_recovered()
        except BaseException:
            self._file.close()
            raise

    # -- changes --------------------------------------------------------------------------------

    def submit(self, request: ExecuteHead, now: float, frame: bytes = b"") -> Execution:
        execution = super().submit(request, now, frame)
        self._changes.add_submitted(execution)
        return execution

    def start(self, execution_id: str, now: float) -> Execution:
        execution = super().start(execution_id, now)
        entry = self._changes.make_start_entry(execution)
        if entry is not None and self._file.redo_log.append(entry):
            self._changes.add_logged_start(execution)
        else:
            self._changes.add_changed(execution)
        return execution

    def request_cancel(self, execution_id: str) -> Execution:
        execution = super().request_cancel(execution_id)
        self._changes.add_changed(execution)
        return execution

    def requeue(
        self,
        execution_id: str,
        *,
        failed: AttemptInfo | None = None,
        retry_at: float | None = None,
    ) -> Execution:
        execution = super().requeue(execution_id, failed=failed, retry_at=retry_at)
        self._changes.add_changed(execution)
        return execution

    def release(self, execution_id: str) -> None:
        super().release(execution_id)
        self._changes.add_changed(self._executions[execution_id])

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
        if self._executions.get(execution_id) is execution:  # Else its end was evicted already.
            self._changes.add_ended(execution, next(self._end_numbers))
        else:
            self._changes.is_flush_requested = True
        return execution

    def keep_progress(
        self, execution_id: str, bodies: Sequence[bytes], now: float
    ) -> tuple[ProgressReport, ...]:
        reports = super().keep_progress(execution_id, bodies, now)
        self._changes.add_progress(self._running[execution_id])
        return reports

    def _forget(self, execution: Execution) -> None:
        super()._forget(execution)
        self._changes.add_dropped(execution)

    def _bury(self, tombstone: Tombstone) -> None:
        super()._bury(tombstone)
        self._changes.add_tombstone(tombstone)

    def _unbury(self, tombstone: Tombstone) -> None:
        self._changes.add_evicted_tombstone(tombstone)

    # -- durability -----------------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        return True

    @property
    def uncommitted(self) -> bool:
        # After a failure also without changes: only a commit shows that the disk works again.
        return self._changes.is_uncommitted or not self._available

    @property
    def lags(self) -> bool:
        return self._changes.lags

    def catch_up(self) -> None:
        self._changes.is_flush_requested = self.lags

    @property
    def available(self) -> bool:
        return self._available

    def is_committed(self, execution_id: str) -> bool:
        return self._changes.is_recorded(self._executions[execution_id].ticket)

    def commit(self) -> None:
        if self.uncommitted and not self._sync_redo_log():
            self._write()

    def rollback(self) -> Sequence[Execution]:
        withdrawn = [e for e in self._changes.list_unaccepted() if not _has_run(e)]
        for execution in withdrawn:
            if self._changes.has_start_entry(execution.ticket):
                self._file.redo_log.append_revert(execution.ticket)
            if execution.status.is_terminal:
                self._history.remove(execution)
                self._counts[execution.status] -= 1
            else:
                self._leave(execution, runs=False)
            del self._executions[execution.execution_id]
            self._changes.discard(execution.ticket)
        return withdrawn

    def close(self) -> None:
        has_all = False
        try:
            self._write(closing=True)
            has_all = True
        finally:
            self._file.close(delete_redo_log=has_all)

    def _sync_redo_log(self) -> bool:
        """Sync the redo log, if it can record all changes; return whether it has."""
        changes, redo_log = self._changes, self._file.redo_log
        if changes.needs_transaction or not self._available:
            return False
        if not (all(map(redo_log.append, changes.make_end_entries())) and redo_log.sync()):
            return False
        try:
            self._file.check()
        except CommitFailed:
            self._available = False
            raise
        changes.mark_synced()
        return True

    def _commit_recovered(self) -> None:
        """Commit what was recovered, and mark the journal as open."""
        try:
            self._write()
        except CommitFailed as error:
            _log.error("%s. No task is accepted or started until a commit succeeds", error)

    def _write(self, *, closing: bool = False) -> None:
        changes = self._changes.to_changes(self._history.list_read() if closing else ())
        try:
            self._file.write(changes, closing=closing)
        except CommitFailed:
            self._available = False
            raise
        self._available = True
        self._changes = PendingChanges()

    def _restore(self) -> None:
        """Restore the executions of the last server."""
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
                self._changes.add_submitted(execution)
                self._changes.add_logged_start(execution)
            if found.is_changed:
                self._changes.add_changed(execution)
            if found.ended is not None and (found.is_new or found.is_changed):
                self._changes.add_ended(execution, found.ended)
        ended.sort(key=lambda entry: entry[0])
        for _, execution in ended:
            self._history.add(execution)
        self._restore_history({execution.ticket: execution for _, execution in ended})
        self._end_numbers = count(ended[-1][0] + 1 if ended else 0)
        self._tickets = count(ticket + 1)
        if ended:
            latest = max(execution.finished_at or 0.0 for _, execution in ended)
            self._evict(latest, float("inf"))
        self._changes.mark_synced()  # It was read from the disk.

    def _restore_history(self, ended: Mapping[int, Execution]) -> None:
        """Restore which records were read, and the tombstones; ``ended`` is by ticket."""
        rows = self._file.read()
        for ticket in rows.read_tickets():
            if ticket in ended:
                self._history.mark_read(ended[ticket].execution_id)
        place = -1
        for tombstone in rows.tombstones():
            place = tombstone.place
            if tombstone.execution_id in self._executions:  # Its id was reused.
                self._changes.add_evicted_tombstone(tombstone)
            else:
                self._tombstones[tombstone.execution_id] = tombstone
        while len(self._tombstones) > self._limits.tombstone_limit:
            self._unbury(self._tombstones.popitem(last=False)[1])
        self._tombstone_numbers = count(place + 1)


def _has_run(execution: Execution) -> bool:
    return execution.status.is_terminal and execution.started_at is not None
