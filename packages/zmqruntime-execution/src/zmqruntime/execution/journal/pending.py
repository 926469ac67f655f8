"""What has changed since a journal was written, and whether notes beside it can tell that.

All is known by its ticket, the number under which the journal has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from zmqruntime.execution.journal.file import Changes
from zmqruntime.execution.journal.redo_log import EndNote, StartNote
from zmqruntime.execution.journal.rows import (
    checksum,
    content_checksum,
    mark_row,
    origin_of,
    state_checksum,
    state_of,
)
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.history import Tombstone
from zmqruntime.messages import ExecutionStatus

__all__ = ["UnwrittenChanges"]


class _Told(Enum):
    """What tells the next server how an execution is."""

    SUBMITTED = auto()
    """Nothing yet. The journal can, and so can a note of its start."""
    CHANGED = auto()
    """Nothing yet. The journal alone can."""
    NOTED = auto()
    """Notes that may be on no disk. That of its end is still to be made."""
    SETTLED = auto()
    """What is on disk: the journal lags, be it with progress alone."""


_SUBMITTED, _CHANGED, _NOTED, _SETTLED = _Told


@dataclass(slots=True)
class _Unwritten:
    """One execution of which the journal has not got all."""

    execution: Execution
    told: _Told
    is_new: bool = False
    """The journal has nothing of it."""
    is_accepted: bool = True
    """It is on disk that there is such a one, however it is by now."""
    has_note: bool = False
    """A start of it was noted."""
    ended: int | None = None
    """Its place among those that have ended."""


class UnwrittenChanges:
    """Keeps what the journal has not got.

    A short task is submitted, begins and returns. Notes tell all of that: its start bears its
    request, and its end the result. Whatever else happens to an execution, only the journal can.
    """

    def __init__(self) -> None:
        self.is_due = False
        """Whether it is all to be written now, though notes could tell it."""
        self._unwritten: dict[int, _Unwritten] = {}
        # Those that nothing tells yet, and those that notes tell: asked for at each event.
        self._untold: set[int] = set()
        self._noted: dict[int, _Unwritten] = {}
        self._dropped: list[int] = []
        self._dropped_names: set[str] = set()
        self._buried: list[Tombstone] = []
        self._unburied: list[tuple[int]] = []

    # -- what happens ---------------------------------------------------------------------------

    def submit(self, execution: Execution) -> None:
        """Take what is new."""
        new = _Unwritten(execution, _SUBMITTED, is_new=True, is_accepted=False)
        self._unwritten[execution.ticket] = new
        self._untold.add(execution.ticket)

    def start(self, execution: Execution) -> None:
        """Take what has begun, as is noted."""
        self._tell(execution, _NOTED).has_note = True

    def change(self, execution: Execution) -> None:
        """Take what the journal alone can tell."""
        self._tell(execution, _CHANGED)

    def finish(self, execution: Execution, place: int) -> None:
        """Take what has ended, and its place among those that have."""
        # An end is noted behind its start. What lags in its progress alone has none: not plain.
        known = self._unwritten.get(execution.ticket)
        follows_note = known is not None and known.told in (_NOTED, _SETTLED)
        is_plain = execution.status is ExecutionStatus.COMPLETE and execution.progress is None
        self._tell(execution, _NOTED if follows_note and is_plain else _CHANGED).ended = place

    def progress(self, execution: Execution) -> None:
        """Take what has told how far it is: that may lag."""
        if execution.ticket not in self._unwritten:
            self._unwritten[execution.ticket] = _Unwritten(execution, _SETTLED)

    def drop(self, execution: Execution) -> None:
        """Take what has left history."""
        self._dropped.append(execution.ticket)
        self._dropped_names.add(execution.execution_id)
        if execution.ticket in self._unwritten:
            self.is_due = True  # Else it would come back, as it was written or noted before.
            self.leave_out(execution.ticket)

    def bury(self, tombstone: Tombstone) -> None:
        """Take what is left of one that has left history unread; it was dropped."""
        self._buried.append(tombstone)

    def unbury(self, tombstone: Tombstone) -> None:
        """Take that nothing is left of one any more."""
        self._unburied.append((tombstone.place,))

    def leave_out(self, ticket: int) -> None:
        """Write nothing of this one any more."""
        del self._unwritten[ticket]
        self._untold.discard(ticket)
        self._noted.pop(ticket, None)

    def settle(self) -> None:
        """Note that the notes are on disk."""
        for unwritten in self._noted.values():
            unwritten.told = _SETTLED
            unwritten.is_accepted = True
        self._noted.clear()

    # -- what is to be done ---------------------------------------------------------------------

    @property
    def lags(self) -> bool:
        """Whether there is anything that the journal has not got."""
        return bool(self._unwritten or self._dropped)

    @property
    def is_any(self) -> bool:
        """Whether there is anything that may be on no disk."""
        return self.is_due or bool(self._untold or self._noted)

    @property
    def must_be_written(self) -> bool:
        """Whether notes cannot tell it, or are not to."""
        return self.is_due or bool(self._untold)

    def may_begin(self, ticket: int) -> bool:
        """Whether the next process would know how it is: that it has begun."""
        return ticket not in self._untold

    def has_note(self, ticket: int) -> bool:
        """Whether a start was noted since the journal was written."""
        return self._unwritten[ticket].has_note

    def start_note(self, execution: Execution) -> StartNote | None:
        """Return what to note of a start; None: the journal alone can tell it."""
        ticket, submitted_at = execution.ticket, execution.submitted_at
        known = self._unwritten.get(ticket)
        if known is not None and known.told is not _SUBMITTED:
            return None  # The journal does not have it as it was before.
        if execution.execution_id in self._dropped_names:
            return None  # The journal has a namesake.
        assert execution.started_at is not None
        request = b"" if known is None else execution.request
        return StartNote(ticket, execution.attempt, submitted_at, execution.started_at, request)

    def end_notes(self) -> Iterator[EndNote]:
        """Return what to note of those that have returned."""
        for ticket, unwritten in self._noted.items():
            if unwritten.ended is not None:
                execution = unwritten.execution
                assert execution.finished_at is not None
                parts = execution.sequence, execution.finished_at, execution.result or b"null"
                yield EndNote(ticket, unwritten.ended, *parts)

    def unaccepted(self) -> Iterator[Execution]:
        """Return what is new, and may be on no disk at all."""
        return (u.execution for u in self._unwritten.values() if not u.is_accepted)

    def to_changes(self, read: Sequence[Execution] = ()) -> Changes:
        """Return all of it, to be written, and which records were read."""
        every = self._unwritten.values()
        return Changes(
            dropped=[(ticket,) for ticket in self._dropped],
            added=[_whole_row(u.execution, u.ended) for u in every if u.is_new],
            requests=[_content(u.execution, None) for u in every if u.is_new and u.ended is None],
            changed=[_state_row(u.execution, u.ended) for u in every if not u.is_new],
            results=[
                _content(u.execution, u.execution.result) for u in every if u.ended is not None
            ],
            buried=[(*tombstone, checksum(tombstone)) for tombstone in self._buried],
            unburied=self._unburied,
            read=[mark_row(place, execution.ticket) for place, execution in enumerate(read)],
        )

    def _tell(self, execution: Execution, told: _Told) -> _Unwritten:
        """Note what tells of an execution from now on: notes, or nothing yet."""
        ticket = execution.ticket
        unwritten = self._unwritten.get(ticket)
        if unwritten is None:
            unwritten = self._unwritten[ticket] = _Unwritten(execution, told)
        unwritten.told = told
        if told is _NOTED:
            self._untold.discard(ticket)
            self._noted[ticket] = unwritten
        else:
            self._untold.add(ticket)
            self._noted.pop(ticket, None)
        return unwritten


def _whole_row(execution: Execution, ended: int | None) -> tuple[object, ...]:
    origin, state = origin_of(execution), state_of(execution, ended)
    return (*origin, checksum(origin), *state, state_checksum(execution.ticket, state))


def _state_row(execution: Execution, ended: int | None) -> tuple[object, ...]:
    state = state_of(execution, ended)
    return (*state, state_checksum(execution.ticket, state), execution.ticket)


def _content(execution: Execution, result: bytes | None) -> tuple[int, bytes, bytes | None, int]:
    ticket, request = execution.ticket, execution.request
    return ticket, request, result, content_checksum(ticket, request, result)
