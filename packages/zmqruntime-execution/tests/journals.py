"""Journals for tests: engines without disk syncs, and the faults that tests need."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from driving import record_of, request

from zmqruntime.execution import Execution, JournalLifecycleEngine, LifecycleEngine
from zmqruntime.execution.journal import database as journal_database
from zmqruntime.execution.journal import journal_file, redo_log
from zmqruntime.execution.journal.commit_id import CommitId
from zmqruntime.execution.journal.redo_log import RedoLog
from zmqruntime.execution.lifecycle.history import HistoryLimits

__all__ = [
    "COMMIT_ID",
    "abandon",
    "connection_of",
    "empty_journal",
    "fill_disk",
    "fill_redo_log",
    "free_disk",
    "keeping",
    "open_redo_log",
    "opened",
    "picture_of",
    "quick_engine",
    "reboot",
    "redo_path",
    "set_sync_result",
    "submit",
]

COMMIT_ID = CommitId("0123456789abcdef", 7, "01234567")


def keeping(count: int) -> dict[str, Any]:
    """Return the arguments of an engine that keeps ``count`` unread records and no tombstones."""
    return {"limits": HistoryLimits(unread_limit=count, tombstone_limit=0)}


def quick_engine(
    path: Path, history_limit: int | None = None, **options: Any
) -> JournalLifecycleEngine:
    """Return an engine without disk syncs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal_database, "_SYNCHRONOUS", "OFF")
        patched.setattr(redo_log, "_sync", lambda file: None)
        patched.setattr(redo_log, "_sync_directory", lambda path: None)
        engine = JournalLifecycleEngine(path, history_limit, **options)
    set_sync_result(engine, works=True)
    return engine


@cache
def empty_journal() -> bytes:
    """Return the content of a new journal; to write it costs less than to create a journal."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "empty")
        JournalLifecycleEngine(path).close()
        return path.read_bytes()


@contextmanager
def opened(path: Path, history_limit: int | None = None, **options: Any) -> Iterator[Any]:
    """Open a journal, and close it at the end of the block."""
    engine = quick_engine(path, history_limit, **options)
    try:
        yield engine
    finally:
        engine.close()


def connection_of(engine: JournalLifecycleEngine) -> sqlite3.Connection:
    return engine._file._database


def submit(engine: LifecycleEngine, *execution_ids: str, **fields: Any) -> None:
    for execution_id in execution_ids:
        engine.submit(request(execution_id, **fields), 1.0)


def redo_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.started")


def abandon(engine: JournalLifecycleEngine) -> None:
    """Release the files as a killed process does: without a last commit."""
    engine._file.close()


def fill_disk(engine: JournalLifecycleEngine) -> None:
    """Make commits and syncs of the redo log fail: no free page, and no growth of the file."""
    database = connection_of(engine)
    database.executescript("PRAGMA incremental_vacuum")
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}").fetchone()
    set_sync_result(engine, works=False)


def free_disk(engine: JournalLifecycleEngine) -> None:
    connection_of(engine).execute("PRAGMA max_page_count = 1000000").fetchone()
    set_sync_result(engine, works=True)


def set_sync_result(engine: JournalLifecycleEngine, *, works: bool) -> None:
    """Replace the sync of the redo log by one that succeeds or fails."""
    vars(engine._file.redo_log)["sync"] = lambda: works


def fill_redo_log(engine: JournalLifecycleEngine) -> None:
    """Make every append to the redo log fail."""
    engine._file.redo_log._size = 0


def open_redo_log(path: Path, mark: CommitId = COMMIT_ID) -> RedoLog:
    """Return an empty redo log that can be written."""
    file = RedoLog(path, mark)
    file.open()
    file.reset(mark)
    return file


def reboot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the boot id, as after a power cut."""
    monkeypatch.setattr(journal_file, "boot_id", lambda: "another boot")


def picture_of(engine: LifecycleEngine, names: list[str]) -> object:
    """Return everything that an engine exposes."""
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
