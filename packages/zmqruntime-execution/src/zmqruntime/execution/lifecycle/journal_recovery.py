"""What the last server has left, in its journal and noted beside it, to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.journal_database import damaged
from zmqruntime.execution.lifecycle.journal_file import JournalFile
from zmqruntime.execution.lifecycle.journal_notes import Note
from zmqruntime.execution.lifecycle.journal_rows import to_execution
from zmqruntime.execution.sequences import SEQUENCE_GAP
from zmqruntime.messages import DecodeError, ExecuteRequest, ExecutionStatus, decode_request

__all__ = ["Recovered", "recover"]


class Recovered(NamedTuple):
    """What there is, in order of arrival."""

    execution: Execution
    ended: int | None = None
    """When it has ended: its place among those that have."""
    is_new: bool = False
    """The journal has not got it."""
    is_changed: bool = False
    """The journal does not know that it runs."""


def recover(file: JournalFile) -> Iterator[Recovered]:
    """Return every execution: what was told to begin, runs.

    Raises:
        JournalUnusable: something is not as it was written.
    """
    # The latest attempt of each.
    notes = {note.ticket: note for note in file.notes.read()}
    try:
        for origin, state, request, result in file.read():
            execution = to_execution(origin, state, request, result)
            note = notes.pop(execution.ticket, None)
            has_begun = note is not None and execution.status is ExecutionStatus.QUEUED
            if note is not None and has_begun:
                _begin(execution, note)
            if execution.status is ExecutionStatus.RUNNING:
                execution.sequence += SEQUENCE_GAP
            yield Recovered(execution, state.ended, is_changed=has_begun)
        for note in notes.values():
            execution = _read_request(note)
            _begin(execution, note)
            execution.sequence += SEQUENCE_GAP
            yield Recovered(execution, is_new=True)
    except (ValueError, TypeError, KeyError, DecodeError) as error:
        reason = "its fields" if isinstance(error, ValidationError) else str(error)
        raise damaged(file.path, reason) from error


def _begin(execution: Execution, note: Note) -> None:
    execution.status = ExecutionStatus.RUNNING
    execution.attempt = note.attempt
    execution.started_at = note.started_at
    execution.retry_at = None
    execution.sequence += 1


def _read_request(note: Note) -> Execution:
    request = decode_request(note.request)
    if not isinstance(request, ExecuteRequest) or request.execution_id is None:
        raise ValueError("what was noted is no task")
    return Execution.from_request(request, note.ticket, note.submitted_at)
