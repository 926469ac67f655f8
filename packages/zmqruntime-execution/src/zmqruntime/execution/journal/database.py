"""Connections to a journal's database, and transactions.

WAL mode with ``synchronous=FULL``: a transaction that has returned survives a power cut.
https://www.sqlite.org/wal.html

``locking_mode=EXCLUSIVE`` from before the first access: SQLite keeps its lock on the database
file until the connection is closed, and uses no shared-memory file.
https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zmqruntime.execution.errors import JournalUnusable

__all__ = ["BUSY_SECONDS", "connect", "damaged_error", "is_busy", "transaction"]

_SYNCHRONOUS = "FULL"

BUSY_SECONDS: Final = 0.1
"""How long SQLite waits for a lock. A server waits for its start meanwhile."""
_PRIMARY: Final = 0xFF
"""The part of an extended result code that is the primary one: https://www.sqlite.org/rescode.html"""


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that can write; it locks the file with its first access."""
    # Opened by the thread that starts a server, used by the thread of its loop.
    database = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
    database.execute(f"PRAGMA synchronous = {_SYNCHRONOUS}")
    # On macOS a plain fsync leaves data in the disk's cache. No effect on other systems.
    database.execute("PRAGMA fullfsync = ON")
    database.execute("PRAGMA checkpoint_fullfsync = ON")
    return database


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Commit the statements of the block as one transaction; roll back when it raises."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # SQLite rolls back after some failures on its own.
            database.execute("ROLLBACK")
        raise


def is_busy(error: Exception) -> bool:
    """Whether SQLite failed because another process has locked the database."""
    if not isinstance(error, sqlite3.OperationalError):
        return False
    code = error.sqlite_errorcode & _PRIMARY  # Such as SQLITE_BUSY_RECOVERY.
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def damaged_error(path: Path, reason: str) -> JournalUnusable:
    """Return the error for a journal whose content differs from what was written."""
    return JournalUnusable(
        f"the journal {path} is damaged: {reason}. Restore its files from a backup, or move them "
        "away to start an empty journal"
    )
