"""Opens the database of a journal: read-only first, to change nothing in one that is damaged."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from zmqruntime.execution.journal.database import BUSY_SECONDS, connect, is_busy
from zmqruntime.execution.journal.lock import in_use_error
from zmqruntime.execution.journal.schema import check_schema, latest_version, migrate

__all__ = ["open_for_reading", "open_for_writing"]

# The write-ahead log is truncated to this size after a checkpoint.
_WAL_BYTES = 16 * 2**20
# SQLite's page cache. The system's page cache has the other pages, and is as fast.
_CACHE_KIB: Final = 256

# https://www.sqlite.org/rescode.html
_NO_ROOM: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_CANTOPEN,
    }
)


def open_for_reading(path: Path) -> tuple[sqlite3.Connection, int | None]:
    """Return a connection, and the version of the schema to open it with for writing.

    The connection is read-only, except where that is impossible: the schema has to be migrated
    first, or the disk has no room for the shared memory with which SQLite reads a write-ahead
    log. The journal is locked then, and there is no version.

    Raises:
        JournalInUse: another process has locked it.
        JournalUnusable: it is damaged, or of a newer version.
        sqlite3.Error: it cannot be opened.
    """
    database, version = _open_read_only(path)
    if database is not None:
        if version == latest_version():
            return database, version
        database.close()
    database = open_for_writing(path, version)
    try:
        check_schema(path, database)
    except BaseException:
        database.close()
        raise
    return database, None


def open_for_writing(path: Path, version: int) -> sqlite3.Connection:
    """Return a connection with a locked journal, migrated from ``version``.

    Raises:
        JournalInUse: another process, or another server of this process, has locked it.
        sqlite3.Error: it cannot be opened.
    """
    with contextlib.ExitStack() as undo:
        try:
            database = undo.enter_context(contextlib.closing(connect(path)))
            database.execute("PRAGMA journal_mode = WAL").fetchone()
            database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            if is_busy(error):
                raise in_use_error(path) from error
            raise
        database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        # `DiskSpace` makes checkpoints: the commit number of the last one has to be known.
        database.execute("PRAGMA wal_autocheckpoint = 0")
        migrate(database, version)
        undo.pop_all()
    return database


def _open_read_only(path: Path) -> tuple[sqlite3.Connection | None, int]:
    """Return a read-only connection and the version; without room on the disk, no connection."""
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", BUSY_SECONDS, uri=True)
    database.isolation_level = None
    try:
        return database, check_schema(path, database)
    except sqlite3.OperationalError as error:
        database.close()
        if error.sqlite_errorcode in _NO_ROOM:
            return None, latest_version()
        raise
    except BaseException:
        database.close()
        raise
