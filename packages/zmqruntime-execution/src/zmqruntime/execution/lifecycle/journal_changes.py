"""What has changed since a journal was written, and whether notes beside it can tell that.

All is known by its ticket, the number under which the journal has it.
"""

from __future__ import annotations

from collections.abc import Iterator

from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.journal_file import Changes
from zmqruntime.execution.lifecycle.journal_rows import origin_of, state_of
from zmqruntime.messages import ExecutionStatus

__all__ = ["UnwrittenChanges"]


class UnwrittenChanges:
    """Keeps what the journal has not got.

    A short task is submitted, begins and returns. Notes tell all of that: its start bears its
    request, and its end the result. Whatever else happens to an execution, only the journal can.
    """

    def __init__(self) -> None:
        self.added: dict[int, Execution] = {}
        """What is in no journal yet."""
        self.returned: dict[int, Execution] = {}
        """What has returned, of which that is all that is to be noted."""
        self.is_due = False
        """Whether it is all to be written now, though notes could tell it."""
        self._changed: dict[int, Execution] = {}
        # In the order in which they have ended; it is no matter here once it is written.
        self._ended: dict[int, int] = {}
        self._late: dict[int, Execution] = {}
        self._dropped: list[int] = []
        self._dropped_names: set[str] = set()
        # What the journal alone can tell: of the first, only that they were submitted.
        self._submitted: set[int] = set()
        self._unsure: set[int] = set()
        # What has begun, and is noted or could not be. Of what is noted, that is all that there is
        # to tell of some; of others that is on disk, too.
        self._noted: set[int] = set()
        self._unnoted: set[int] = set()
        self._begun: set[int] = set()
        self._settled: set[int] = set()

    # -- what happens ---------------------------------------------------------------------------

    def submit(self, execution: Execution) -> None:
        """Take what is new."""
        self.added[execution.ticket] = execution
        self._submitted.add(execution.ticket)

    def start(self, execution: Execution, *, is_noted: bool) -> None:
        """Take what has begun."""
        ticket = execution.ticket
        if not is_noted:
            self._unnoted.add(ticket)
            self.change(execution)
            return
        self._noted.add(ticket)
        self._submitted.discard(ticket)
        self._begun.add(ticket)
        self._keep(execution)

    def change(self, execution: Execution) -> None:
        """Take what the journal alone can tell."""
        self._unsure.add(execution.ticket)
        self._keep(execution)

    def requeue(self, execution: Execution) -> None:
        """Take what waits again: it is no matter any more whether its start was noted."""
        self._unnoted.discard(execution.ticket)
        self.change(execution)

    def finish(self, execution: Execution, place: int) -> None:
        """Take what has ended, and its place among those that have."""
        ticket = execution.ticket
        self._ended[ticket] = place
        is_told = ticket not in self._unsure and (ticket in self._begun or ticket in self._settled)
        is_plain = execution.status is ExecutionStatus.COMPLETE and execution.progress is None
        if is_told and is_plain:
            self.returned[ticket] = execution
            self._keep(execution)
        else:
            self.change(execution)

    def progress(self, execution: Execution) -> None:
        """Take what has told how far it is."""
        self._late[execution.ticket] = execution

    def drop(self, execution: Execution) -> None:
        """Take what has left history."""
        ticket = execution.ticket
        self._dropped.append(ticket)
        self._dropped_names.add(execution.execution_id)
        if ticket in self._noted or ticket in self._ended:
            self.is_due = True  # Else it would come back, as it was written or noted before.
        self.leave_out(ticket)

    def leave_out(self, ticket: int) -> None:
        """Write nothing of this one any more."""
        for kept in (self.added, self.returned, self._changed, self._ended, self._late):
            kept.pop(ticket, None)
        for told in (self._submitted, self._unsure, self._unnoted, self._begun, self._settled):
            told.discard(ticket)

    # -- what is to be done ---------------------------------------------------------------------

    @property
    def lags(self) -> bool:
        """Whether there is anything that the journal has not got."""
        return bool(self._late or self.added or self._changed or self._dropped)

    @property
    def is_any(self) -> bool:
        """Whether there is anything that may be on no disk."""
        return self.must_be_written or bool(self._begun or self.returned)

    @property
    def must_be_written(self) -> bool:
        """Whether notes cannot tell it, or are not to."""
        return self.is_due or bool(self._submitted or self._unsure)

    def is_notable(self, execution: Execution) -> bool:
        """Whether a start may be noted: the journal has it as it was before, and no namesake."""
        return (
            execution.ticket not in self._unsure
            and execution.execution_id not in self._dropped_names
        )

    def is_noted(self, ticket: int) -> bool:
        """Whether a start was noted since the journal was written."""
        return ticket in self._noted

    def may_begin(self, ticket: int) -> bool:
        """Whether the next process would know that it has begun."""
        return ticket not in self._unnoted

    def unsettled(self) -> Iterator[Execution]:
        """Return what is new, and may be on no disk at all."""
        return (e for ticket, e in self.added.items() if ticket not in self._settled)

    def place_of(self, ticket: int) -> int:
        """Return the place of one among those that have ended."""
        return self._ended[ticket]

    def to_changes(self) -> Changes:
        """Return all of it, to be written."""
        added, ended = self.added, self._ended
        # One that was added has progressed, perhaps, as it was added.
        late = self._late | self._changed
        changed = {ticket: execution for ticket, execution in late.items() if ticket not in added}
        return Changes(
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

    def settle(self) -> None:
        """Note that the notes are on disk."""
        self._settled |= self._begun
        self._begun.clear()
        self.returned.clear()

    def _keep(self, execution: Execution) -> None:
        if execution.ticket not in self.added:
            self._changed[execution.ticket] = execution
