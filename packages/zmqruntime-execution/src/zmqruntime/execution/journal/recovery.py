"""Recovery: the rows of a journal, with the entries of the redo log replayed over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

from zmqruntime.execution.journal.database import damaged_error
from zmqruntime.execution.journal.journal_file import JournalFile
from zmqruntime.execution.journal.redo_format import EndEntry, StartEntry
from zmqruntime.execution.journal.rows import to_execution
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import (
    SEQUENCE_GAP,
    DecodeError,
    ExecuteRequest,
    ExecutionStatus,
    decode_request,
)

__all__ = ["RecoveredExecution", "recover"]


class RecoveredExecution(NamedTuple):
    """An execution in its last recorded state."""

    execution: Execution
    ended: int | None = None
    """Its number in the order in which executions have ended."""
    is_new: bool = False
    """Whether the database has no row of it."""
    is_changed: bool = False
    """Whether its row in the database is outdated."""


def recover(file: JournalFile) -> Iterator[RecoveredExecution]:
    """Return every execution, in order of arrival.

    Raises:
        JournalUnusable: a row or an entry is damaged.
    """
    # The last entry of each ticket: that of its latest attempt.
    starts = {e.ticket: e for e in file.redo_entries if isinstance(e, StartEntry)}
    ends = {e.ticket: e for e in file.redo_entries if isinstance(e, EndEntry)}
    try:
        for origin, state, request, result in file.read().executions():
            execution = to_execution(origin, state, request, result)
            start = starts.pop(execution.ticket, None)
            if start is not None and execution.status is ExecutionStatus.QUEUED:
                ended = _replay(execution, start, ends)
                yield RecoveredExecution(execution, ended, is_changed=True)
            else:
                if execution.status is ExecutionStatus.RUNNING:
                    execution.sequence += SEQUENCE_GAP
                yield RecoveredExecution(execution, state.ended)
        for _, start in sorted(starts.items()):
            execution = _decode_execution(start)
            yield RecoveredExecution(execution, _replay(execution, start, ends), is_new=True)
    except (ValueError, TypeError, KeyError, DecodeError) as error:
        reason = "an invalid field" if isinstance(error, ValidationError) else str(error)
        raise damaged_error(file.path, reason) from error


def _replay(execution: Execution, start: StartEntry, ends: dict[int, EndEntry]) -> int | None:
    """Apply entries to a queued execution; return its number in the order of ends."""
    execution.status = ExecutionStatus.RUNNING
    execution.attempt = start.attempt
    execution.started_at = start.started_at
    execution.retry_at = None
    end = ends.get(execution.ticket)
    if end is None:
        execution.sequence += 1 + SEQUENCE_GAP
        return None
    execution.status = ExecutionStatus.COMPLETE
    execution.finished_at = end.finished_at
    execution.result = end.result
    execution.sequence = end.sequence
    execution.drop_request_body()
    return end.ended


def _decode_execution(start: StartEntry) -> Execution:
    request = decode_request(start.request)
    if not isinstance(request, ExecuteRequest) or request.execution_id is None:
        raise ValueError(f"the redo log entry of ticket {start.ticket} has no execute request")
    return Execution.from_request(request, start.ticket, start.submitted_at)
