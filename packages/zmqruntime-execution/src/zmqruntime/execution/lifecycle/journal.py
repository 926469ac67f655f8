"""The lifecycle engine whose executions outlive the process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from zmqruntime.execution.errors import CommitFailed
from zmqruntime.execution.lifecycle.events import ProgressReport
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.journal_file import Changes, JournalFile
from zmqruntime.execution.lifecycle.journal_notes import Note
from zmqruntime.execution.lifecycle.journal_recovery import recover
from zmqruntime.execution.lifecycle.journal_rows import origin_of, state_of
from zmqruntime.execution.lifecycle.memory import InMemoryLifecycleEngine
from zmqruntime.execution.lifecycle.queue import QueuePolicy
from zmqruntime.messages import (
    AttemptInfo,
    ExecuteRequest,
    ExecutionErrorInfo,
    ExecutionStatus,
)

__all__ = ["JournalLifecycleEngine"]


class JournalLifecycleEngine(InMemoryLifecycleEngine):
    """Keeps executions in memory to work with, and in a journal to come back to.

    What has changed is written at the next `commit`, together. The start of an execution is noted
    beside the journal at once, with what it was submitted as if that is not written yet; one that
    cannot be noted waits for the commit. The latest progress lags: it is written along with
    anything else, or a second later.

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
        # What has begun since the last commit, and is noted or could not be.
        self._noted: set[int] = set()
        self._unnoted: set[int] = set()
        self._dropped: list[int] = []
        # The order in which executions have ended; it is no matter here once it is written.
        self._ended: dict[int, int] = {}
        self._ends = count()
        self._late: dict[int, Execution] = {}
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
        execution = super().start(execution_id, now)
        ticket = execution.ticket
        request = execution.request if ticket in self._added else b""
        note = Note(ticket, execution.attempt, execution.submitted_at, now, request)
        is_noted = self._file.notes.add(note)
        (self._noted if is_noted else self._unnoted).add(ticket)
        return self._note(execution)

    def request_cancel(self, execution_id: str) -> Execution:
        return self._note(super().request_cancel(execution_id))

    def requeue(
        self,
        execution_id: str,
        *,
        failed: AttemptInfo | None = None,
        retry_at: float | None = None,
    ) -> Execution:
        execution = super().requeue(execution_id, failed=failed, retry_at=retry_at)
        self._unnoted.discard(execution.ticket)
        return self._note(execution)

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

    def keep_progress(self, execution_id: str, body: bytes, now: float) -> ProgressReport:
        report = super().keep_progress(execution_id, body, now)
        execution = self._running[execution_id]
        self._late[execution.ticket] = execution
        return report

    def _note(self, execution: Execution) -> Execution:
        if execution.ticket not in self._added:
            self._changed[execution.ticket] = execution
        return execution

    def _forget(self, execution: Execution) -> None:
        super()._forget(execution)
        ticket = execution.ticket
        self._unnoted.discard(ticket)
        self._ended.pop(ticket, None)
        self._changed.pop(ticket, None)
        self._late.pop(ticket, None)
        self._added.pop(ticket, None)
        self._dropped.append(ticket)  # Also one that is only noted: a commit makes that void.

    # -- what is kept ---------------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        return True

    @property
    def uncommitted(self) -> bool:
        new = self._added or self._changed or self._dropped
        # Whether it works again is found out by trying.
        return bool(new) or self._progress_is_due or not self._available

    @property
    def lags(self) -> bool:
        return bool(self._late)

    def catch_up(self) -> None:
        self._progress_is_due = bool(self._late)

    @property
    def available(self) -> bool:
        return self._available

    def is_committed(self, execution_id: str) -> bool:
        return self._executions[execution_id].ticket not in self._unnoted

    def commit(self) -> None:
        if self.uncommitted:
            self._commit()

    def withdraw(self) -> Sequence[Execution]:
        withdrawn = [execution for execution in self._added.values() if not _has_run(execution)]
        for execution in withdrawn:
            if execution.ticket in self._noted:
                self._file.notes.take_back(execution.ticket)
            if execution.status.is_terminal:
                self._finished.remove(execution)
                self._counts[execution.status] -= 1
            else:
                self._leave(execution, runs=False)
            del self._executions[execution.execution_id]
            del self._added[execution.ticket]
            self._ended.pop(execution.ticket, None)
            self._unnoted.discard(execution.ticket)
            self._late.pop(execution.ticket, None)
        return withdrawn

    def close(self) -> None:
        is_whole = False
        try:
            self.catch_up()
            self.commit()
            is_whole = True
        finally:
            self._file.close(forget_notes=is_whole)

    def _commit(self) -> None:
        added = self._added
        # One that was added has progressed, perhaps, as it was added.
        changed = {
            ticket: execution
            for ticket, execution in (self._late | self._changed).items()
            if ticket not in added
        }
        ended = self._ended
        changes = Changes(
            dropped=[(ticket,) for ticket in self._dropped],
            added=[(*origin_of(e), *state_of(e, ended.get(n))) for n, e in added.items()],
            requests=[(n, e.request) for n, e in added.items() if n not in ended],
            changed=[(*state_of(e, ended.get(n)), n) for n, e in changed.items()],
            results=[
                (n, e.request, e.result)
                for some in (added, changed)
                for n, e in some.items()
                if n in ended
            ],
        )
        try:
            self._file.write(changes)
        except CommitFailed:
            self._available = False
            raise
        self._available = True
        self._added.clear()
        self._changed.clear()
        self._noted.clear()
        self._unnoted.clear()
        self._ended.clear()
        self._late.clear()
        self._progress_is_due = False
        self._dropped = []

    def _load(self) -> None:
        """Go on with what the last server has left."""
        ended: list[tuple[int, Execution]] = []
        ticket = -1
        for found in recover(self._file):
            execution = found.execution
            ticket = execution.ticket
            self._executions[execution.execution_id] = execution
            self._counts[execution.status] += 1
            if execution.status is ExecutionStatus.RUNNING:
                self._running[execution.execution_id] = execution
            elif execution.status is ExecutionStatus.QUEUED:
                self._wait(execution)
            if found.ended is not None:
                ended.append((found.ended, execution))
            if found.is_new:
                self._added[ticket] = execution
                self._noted.add(ticket)
            elif found.is_changed:
                self._changed[ticket] = execution
        ended.sort(key=lambda entry: entry[0])
        self._finished.extend(execution for _, execution in ended)
        self._ends = count(ended[-1][0] + 1 if ended else 0)
        self._tickets = count(ticket + 1)
        if ended:
            self._prune(max(execution.finished_at or 0.0 for _, execution in ended))


def _has_run(execution: Execution) -> bool:
    return execution.status.is_terminal and execution.started_at is not None
