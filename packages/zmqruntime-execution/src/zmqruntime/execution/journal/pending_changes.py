"""Changes since the latest commit: which of them the redo log has, and which need a transaction.

Executions are identified by ticket, the primary key of their rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from zmqruntime.execution.journal.changes import Changes
from zmqruntime.execution.journal.redo_format import EndEntry, StartEntry
from zmqruntime.execution.journal.rows import (
    checksum,
    content_checksum,
    origin_of,
    read_mark_row,
    state_checksum,
    state_of,
)
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.history import Tombstone
from zmqruntime.messages import ExecutionStatus

__all__ = ["Durability", "PendingChanges"]


class Durability(Enum):
    """Where the state of a pending execution is recorded."""

    SUBMITTED = auto()
    """Nowhere yet. A transaction can record it, and so can a redo log entry of its start."""
    CHANGED = auto()
    """Nowhere yet. Only a transaction can record it."""
    LOGGED = auto()
    """In redo log entries that are not synced; the entry of its end is yet to be written."""
    SYNCED = auto()
    """On the disk, in the redo log; the database lags. Also progress, which may lag."""


_SUBMITTED, _CHANGED, _LOGGED, _SYNCED = Durability


@dataclass(slots=True)
class _Pending:
    """An execution whose row in the database is outdated or missing."""

    execution: Execution
    durability: Durability
    is_new: bool = False
    """Whether the database has no row of it."""
    is_accepted: bool = True
    """Whether its submission is on the disk, whatever its present state."""
    has_start_entry: bool = False
    ended: int | None = None
    """Its number in the order in which executions have ended."""


class PendingChanges:
    """Collects the changes of one transaction.

    A short task is submitted, starts and returns. The redo log can record all of that: the entry
    of its start has the request, the entry of its end the result. Any other change needs a
    transaction.
    """

    def __init__(self) -> None:
        self.is_flush_requested = False
        """Whether to commit everything with a transaction, also what the redo log can record."""
        self._pending: dict[int, _Pending] = {}
        # Indices of `_pending`, which the loop reads at each event.
        self._unrecorded: set[int] = set()
        self._unsynced: dict[int, _Pending] = {}
        self._dropped: list[int] = []
        self._dropped_ids: set[str] = set()
        self._tombstones: list[Tombstone] = []
        self._evicted_tombstones: list[tuple[int]] = []

    # -- changes --------------------------------------------------------------------------------

    def add_submitted(self, execution: Execution) -> None:
        """Add a new execution."""
        new = _Pending(execution, _SUBMITTED, is_new=True, is_accepted=False)
        self._pending[execution.ticket] = new
        self._unrecorded.add(execution.ticket)

    def add_logged_start(self, execution: Execution) -> None:
        """Add an execution whose start the redo log has recorded."""
        self._set(execution, _LOGGED).has_start_entry = True

    def add_changed(self, execution: Execution) -> None:
        """Add a change that needs a transaction."""
        self._set(execution, _CHANGED)

    def add_ended(self, execution: Execution, place: int) -> None:
        """Add an execution that has ended, as number ``place`` of all."""
        # The entry of an end follows that of a start. Progress that lags has no entry of a start,
        # and is excluded by the second condition.
        known = self._pending.get(execution.ticket)
        has_entries = known is not None and known.durability in (_LOGGED, _SYNCED)
        is_plain = execution.status is ExecutionStatus.COMPLETE and execution.progress is None
        self._set(execution, _LOGGED if has_entries and is_plain else _CHANGED).ended = place

    def add_progress(self, execution: Execution) -> None:
        """Add progress, which may lag."""
        if execution.ticket not in self._pending:
            self._pending[execution.ticket] = _Pending(execution, _SYNCED)

    def add_dropped(self, execution: Execution) -> None:
        """Add an execution that was evicted from history."""
        self._dropped.append(execution.ticket)
        self._dropped_ids.add(execution.execution_id)
        if execution.ticket in self._pending:
            self.is_flush_requested = True  # Recovery would restore its row or its entries.
            self.discard(execution.ticket)

    def add_tombstone(self, tombstone: Tombstone) -> None:
        """Add the tombstone of an evicted execution."""
        self._tombstones.append(tombstone)

    def add_evicted_tombstone(self, tombstone: Tombstone) -> None:
        """Add the eviction of a tombstone."""
        self._evicted_tombstones.append((tombstone.place,))

    def discard(self, ticket: int) -> None:
        """Remove the pending changes of an execution."""
        del self._pending[ticket]
        self._unrecorded.discard(ticket)
        self._unsynced.pop(ticket, None)

    def mark_synced(self) -> None:
        """Mark all redo log entries as being on the disk."""
        for pending in self._unsynced.values():
            pending.durability = _SYNCED
            pending.is_accepted = True
        self._unsynced.clear()

    # -- queries --------------------------------------------------------------------------------

    @property
    def lags(self) -> bool:
        """Whether the database lacks a change, be it on the disk in the redo log."""
        return bool(self._pending or self._dropped)

    @property
    def is_uncommitted(self) -> bool:
        """Whether a change may be on no disk."""
        return self.is_flush_requested or bool(self._unrecorded or self._unsynced)

    @property
    def needs_transaction(self) -> bool:
        """Whether a sync of the redo log is not enough."""
        return self.is_flush_requested or bool(self._unrecorded)

    def is_recorded(self, ticket: int) -> bool:
        """Whether the state of an execution survives the death of this process."""
        return ticket not in self._unrecorded

    def has_start_entry(self, ticket: int) -> bool:
        """Whether the redo log has the start of a pending execution."""
        return self._pending[ticket].has_start_entry

    def make_start_entry(self, execution: Execution) -> StartEntry | None:
        """Return the redo log entry of a start; None: it needs a transaction."""
        ticket, submitted_at = execution.ticket, execution.submitted_at
        known = self._pending.get(ticket)
        if known is not None and known.durability is not _SUBMITTED:
            return None  # The database lacks an earlier change.
        if execution.execution_id in self._dropped_ids:
            return None  # The database has an evicted execution of the same id.
        assert execution.started_at is not None
        request = b"" if known is None else execution.request
        return StartEntry(ticket, execution.attempt, submitted_at, execution.started_at, request)

    def make_end_entries(self) -> Iterator[EndEntry]:
        """Return the redo log entries of executions that have ended since the last sync."""
        for ticket, pending in self._unsynced.items():
            if pending.ended is not None:
                execution = pending.execution
                assert execution.finished_at is not None
                parts = execution.sequence, execution.finished_at, execution.result or b"null"
                yield EndEntry(ticket, pending.ended, *parts)

    def list_unaccepted(self) -> Iterator[Execution]:
        """Return the executions whose submission may be on no disk."""
        return (p.execution for p in self._pending.values() if not p.is_accepted)

    def to_changes(self, read: Sequence[Execution] = ()) -> Changes:
        """Return the rows to write; ``read``: the records that were read, the first first."""
        every = self._pending.values()
        return Changes(
            dropped=[(ticket,) for ticket in self._dropped],
            added=[_whole_row(p.execution, p.ended) for p in every if p.is_new],
            requests=[_content(p.execution, None) for p in every if p.is_new and p.ended is None],
            changed=[_state_row(p.execution, p.ended) for p in every if not p.is_new],
            results=[
                _content(p.execution, p.execution.result) for p in every if p.ended is not None
            ],
            tombstones=[(*tombstone, checksum(tombstone)) for tombstone in self._tombstones],
            evicted_tombstones=self._evicted_tombstones,
            read=[read_mark_row(place, execution.ticket) for place, execution in enumerate(read)],
        )

    def _set(self, execution: Execution, durability: Durability) -> _Pending:
        """Set the durability of an execution to `LOGGED` or `CHANGED`, and update the indices."""
        ticket = execution.ticket
        pending = self._pending.get(ticket)
        if pending is None:
            pending = self._pending[ticket] = _Pending(execution, durability)
        pending.durability = durability
        if durability is _LOGGED:
            self._unrecorded.discard(ticket)
            self._unsynced[ticket] = pending
        else:
            self._unrecorded.add(ticket)
            self._unsynced.pop(ticket, None)
        return pending


def _whole_row(execution: Execution, ended: int | None) -> tuple[object, ...]:
    origin, state = origin_of(execution), state_of(execution, ended)
    return (*origin, checksum(origin), *state, state_checksum(execution.ticket, state))


def _state_row(execution: Execution, ended: int | None) -> tuple[object, ...]:
    state = state_of(execution, ended)
    return (*state, state_checksum(execution.ticket, state), execution.ticket)


def _content(execution: Execution, result: bytes | None) -> tuple[int, bytes, bytes | None, int]:
    ticket, request = execution.ticket, execution.request
    return ticket, request, result, content_checksum(ticket, request, result)
