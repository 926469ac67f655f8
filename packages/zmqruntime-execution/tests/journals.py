"""Journals for tests: opened, and closed in the end, whatever happens."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from driving import record_of

from zmqruntime.execution import Execution, JournalLifecycleEngine, LifecycleEngine
from zmqruntime.execution.journal import database as journal_database
from zmqruntime.execution.journal import file as journal_file
from zmqruntime.execution.journal import redo_log
from zmqruntime.execution.journal.mark import Mark
from zmqruntime.execution.journal.redo_log import NoteFile
from zmqruntime.execution.lifecycle.history import HistoryLimits

__all__ = [
    "MARK",
    "connection_of",
    "empty_journal",
    "fill_disk",
    "free_disk",
    "keeping",
    "let_sync",
    "note_file",
    "opened",
    "picture_of",
    "quick_engine",
    "reboot",
    "spoil_notes",
]

MARK = Mark("0123456789abcdef", 7, "01234567")


def keeping(count: int) -> dict[str, Any]:
    """Return the argument for an engine that keeps so many unread records, and no tombstone."""
    return {"limits": HistoryLimits(unread_limit=count, tombstone_limit=0)}


def quick_engine(
    path: Path, history_limit: int | None = None, **options: Any
) -> JournalLifecycleEngine:
    """Return an engine that does not wait for the disk: no test pulls the plug."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal_database, "_SYNCHRONOUS", "OFF")
        patched.setattr(redo_log, "_sync", lambda file: None)
        patched.setattr(redo_log, "_sync_directory", lambda path: None)
        engine = JournalLifecycleEngine(path, history_limit, **options)
    let_sync(engine, works=True)
    return engine


@cache
def empty_journal() -> bytes:
    """Return the content of a new journal: to write it costs less than to have it made."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "empty")
        JournalLifecycleEngine(path).close()
        return path.read_bytes()


@contextmanager
def opened(path: Path, history_limit: int | None = None, **options: Any) -> Iterator[Any]:
    """Open a journal for a while."""
    engine = quick_engine(path, history_limit, **options)
    try:
        yield engine
    finally:
        engine.close()


def connection_of(engine: JournalLifecycleEngine) -> sqlite3.Connection:
    return engine._file._database


def fill_disk(engine: JournalLifecycleEngine) -> None:
    """Let the journal not get any longer, it has no page that is free; nor have notes on disk."""
    database = connection_of(engine)
    database.executescript("PRAGMA incremental_vacuum")
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}").fetchone()
    let_sync(engine, works=False)


def free_disk(engine: JournalLifecycleEngine) -> None:
    connection_of(engine).execute("PRAGMA max_page_count = 1000000").fetchone()
    let_sync(engine, works=True)


def let_sync(engine: JournalLifecycleEngine, *, works: bool) -> None:
    """Let the disk take notes for good, without waiting for it, or not."""
    vars(engine._file.notes)["sync"] = lambda: works


def spoil_notes(engine: JournalLifecycleEngine) -> None:
    """Let no start be noted any more."""
    engine._file.notes._room = 0


def note_file(path: Path, mark: Mark = MARK) -> NoteFile:
    """Return a file of notes that can be written."""
    file = NoteFile(path, mark)
    file.open()
    file.begin_anew(mark)
    return file


def reboot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have been started anew, as after a power cut."""
    monkeypatch.setattr(journal_file, "boot_id", lambda: "another boot")


def picture_of(engine: LifecycleEngine, names: list[str]) -> object:
    """Return everything that an engine tells."""
    kept = [execution for name in names if (execution := engine.get(name)) is not None]
    return (
        {execution.execution_id: _picture(execution) for execution in kept},
        [(place, e.execution_id) for place, e in engine.list_queued(1000).entries],
        [e.execution_id for e in engine.list_delayed()],
        [e.execution_id for e in engine.list_running()],
        dict(engine.counts),
    )


def _picture(execution: Execution) -> object:
    return (
        record_of(execution),
        None if execution.status.is_terminal else execution.request,
        execution.compute_fingerprint(),
        execution.timeout_seconds,
        execution.priority,
        execution.retry,
        execution.cancel_requested,
        execution.sequence,
    )
