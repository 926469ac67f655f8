"""What the last server has left, in its journal and noted beside it, to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

from zmqruntime.execution.journal.database import damaged
from zmqruntime.execution.journal.file import JournalFile
from zmqruntime.execution.journal.redo_log import EndNote, StartNote
from zmqruntime.execution.journal.rows import to_execution
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import (
    SEQUENCE_GAP,
    DecodeError,
    ExecuteRequest,
    ExecutionStatus,
    decode_request,
)

__all__ = ["Recovered", "recover"]


class Recovered(NamedTuple):
    """What there is, in order of arrival."""

    execution: Execution
    ended: int | None = None
    """When it has ended: its place among those that have."""
    is_new: bool = False
    """The journal has not got it."""
    is_changed: bool = False
    """The journal does not know how it is."""


def recover(file: JournalFile) -> Iterator[Recovered]:
    """Return every execution: what was told to begin, runs, or has ended as was noted.

    Raises:
        JournalUnusable: something is not as it was written.
    """
    noted = file.noted
    # The latest attempt of each.
    starts = {note.ticket: note for note in noted if isinstance(note, StartNote)}
    ends = {note.ticket: note for note in noted if isinstance(note, EndNote)}
    try:
        for origin, state, request, result in file.read():
            execution = to_execution(origin, state, request, result)
            start = starts.pop(execution.ticket, None)
            if start is not None and execution.status is ExecutionStatus.QUEUED:
                ended = _go_on(execution, start, ends)
                yield Recovered(execution, ended, is_changed=True)
            else:
                if execution.status is ExecutionStatus.RUNNING:
                    execution.sequence += SEQUENCE_GAP
                yield Recovered(execution, state.ended)
        for _, start in sorted(starts.items()):
            execution = _read_request(start)
            yield Recovered(execution, _go_on(execution, start, ends), is_new=True)
    except (ValueError, TypeError, KeyError, DecodeError) as error:
        reason = "its fields" if isinstance(error, ValidationError) else str(error)
        raise damaged(file.path, reason) from error


def _go_on(execution: Execution, start: StartNote, ends: dict[int, EndNote]) -> int | None:
    """Let a queued execution be as was noted; return its place among those that have ended."""
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


def _read_request(note: StartNote) -> Execution:
    request = decode_request(note.request)
    if not isinstance(request, ExecuteRequest) or request.execution_id is None:
        raise ValueError("what was noted is no task")
    return Execution.from_request(request, note.ticket, note.submitted_at)
