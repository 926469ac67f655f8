"""Bounds the size of a journal's files: checkpoints of the write-ahead log, and free pages."""

from __future__ import annotations

import contextlib
import sqlite3

from zmqruntime.execution.journal.changes import Changes

__all__ = ["DiskSpace", "checkpoint"]

# About how many pages of the write-ahead log until a checkpoint.
_PAGES_PER_CHECKPOINT = 1000
# How many evicted executions until free pages are counted, and how many pages are too few.
_DROPS_PER_VACUUM = 128
_FREE_PAGES = 64


class DiskSpace:
    """Decides after each commit whether the files are to be compacted."""

    def __init__(self) -> None:
        self._drops = 0
        self._pages = 0

    def require_checkpoint(self) -> None:
        """Make a checkpoint after the next commit, whatever its size."""
        self._pages = _PAGES_PER_CHECKPOINT

    def checkpoint_if_due(self, database: sqlite3.Connection, changes: Changes) -> bool | None:
        """Count a commit; return whether a checkpoint was made, None when none was due.

        After a failure the write-ahead log has all, and grows until a checkpoint succeeds.
        """
        self._pages += changes.estimate_pages()
        if self._pages < _PAGES_PER_CHECKPOINT:
            return None
        try:
            is_done = checkpoint(database)
        except sqlite3.Error:
            return False
        if is_done:
            self._pages = 0
        return is_done

    def vacuum_if_due(self, database: sqlite3.Connection, changes: Changes) -> bool:
        """Count a commit; return whether free pages may have been returned to the system."""
        self._drops += len(changes.dropped)
        if self._drops < _DROPS_PER_VACUUM:
            return False
        self._drops = 0
        (free,) = database.execute("PRAGMA freelist_count").fetchone()
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        if free > _FREE_PAGES and free > pages // 4:
            # A failure loses no data; the next call tries again.
            with contextlib.suppress(sqlite3.OperationalError):
                # As a script: `execute` makes one step, which frees one page. Half of the pages
                # bound the time that this takes.
                database.executescript(f"PRAGMA incremental_vacuum({free // 2})")
        return True


def checkpoint(database: sqlite3.Connection) -> bool:
    """Move the write-ahead log into the database file; return whether all of it was moved.

    Raises:
        sqlite3.Error: the checkpoint failed; the log is unchanged.
    """
    busy, in_log, moved = database.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    return not busy and in_log == moved
