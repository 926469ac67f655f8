"""The schema of a journal's database: creation, migrations, and checks when it is opened."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from zmqruntime.execution.errors import JournalUnusable
from zmqruntime.execution.journal.database import connect, damaged_error, is_busy, transaction
from zmqruntime.execution.journal.latest_commit import LatestCommit
from zmqruntime.execution.journal.lock import in_use_error
from zmqruntime.transport.lowlevel import open_private

__all__ = [
    "check_schema",
    "create_journal",
    "has_journal_header",
    "latest_version",
    "migrate",
]

_APPLICATION_ID: Final = 0x5A4D5152  # "ZMQR"
# https://www.sqlite.org/fileformat2.html#the_database_header
_MAGIC: Final = b"SQLite format 3\0"
_APPLICATION_ID_AT: Final = slice(68, 72)

# Entry n migrates a journal of version n to version n + 1. A released entry never changes.
_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE executions (
        ticket INTEGER PRIMARY KEY,
        execution_id TEXT NOT NULL,
        client_id TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        labels BLOB NOT NULL,
        options BLOB NOT NULL,
        submitted_at REAL NOT NULL,
        origin_checksum INTEGER NOT NULL,
        status TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        started_at REAL,
        finished_at REAL,
        ended INTEGER,
        cancel_requested INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        progress BLOB,
        error BLOB,
        attempts BLOB NOT NULL,
        retry_at REAL,
        state_checksum INTEGER NOT NULL
    );
    -- A table of its own, so that an update of a state does not rewrite a large task or result.
    CREATE TABLE contents (
        ticket INTEGER PRIMARY KEY,
        request BLOB,
        result BLOB,
        checksum INTEGER NOT NULL
    );
    -- One row: `LatestCommit`.
    CREATE TABLE latest (
        mark TEXT NOT NULL,
        base INTEGER NOT NULL,
        opened TEXT,
        checksum INTEGER NOT NULL
    );
    """,
    """
    -- The remains of executions whose records were evicted unread.
    CREATE TABLE tombstones (
        place INTEGER PRIMARY KEY,
        execution_id TEXT NOT NULL,
        client_id TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        submitted_at REAL NOT NULL,
        started_at REAL,
        finished_at REAL NOT NULL,
        status TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        error BLOB,
        checksum INTEGER NOT NULL
    );
    -- Which records were read, the first first: written by the last commit of a server, and empty
    -- while a server runs.
    CREATE TABLE read_marks (
        place INTEGER PRIMARY KEY,
        ticket INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    );
    """,
)


def latest_version() -> int:
    """Return the version of the schema that this package writes."""
    return len(_MIGRATIONS)


def has_journal_header(header: bytes) -> bool:
    """Whether a file that begins with ``header`` is a journal; 72 bytes are enough."""
    application = int.from_bytes(header[_APPLICATION_ID_AT], "big")
    return header.startswith(_MAGIC) and application == _APPLICATION_ID


def create_journal(path: Path) -> None:
    """Create an empty journal; a kill leaves the whole file, or no file.

    The caller holds the opening lock, so that no other server creates it at the same time.

    Raises:
        JournalUnusable: a part of an older journal is left.
        OSError, sqlite3.Error: the file cannot be created.
    """
    for name in (f"{path.name}-wal", f"{path.name}.started"):
        if _size(path.with_name(name)):
            raise JournalUnusable(
                f"the journal {path} is missing, but a part of it, {name}, exists: restore the "
                "journal from a backup, or move that part away to start an empty journal"
            )
    new = path.with_name(f"{path.name}.new")
    # SQLite copies the mode of this file to the files that it creates beside it.
    os.close(open_private(new, write=True, create=True, truncate=True))
    with contextlib.closing(connect(new)) as database:
        database.execute("PRAGMA journal_mode = MEMORY")  # No rollback journal on disk.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        migrate(database, 0)
        with transaction(database):
            LatestCommit.new().insert(database)
    new.replace(path)


def migrate(database: sqlite3.Connection, version: int) -> None:
    """Bring a journal of ``version`` to the latest version, each step in a transaction.

    Raises:
        sqlite3.Error: a step failed.
    """
    for number in range(version, len(_MIGRATIONS)):
        with transaction(database):
            for statement in _MIGRATIONS[number].split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {number + 1}")


def check_schema(path: Path, database: sqlite3.Connection) -> int:
    """Return the version of a journal, after SQLite's check of its structure.

    Raises:
        JournalInUse: another process has locked it.
        JournalUnusable: it is damaged, or of a newer version.
        sqlite3.Error: it cannot be read.
    """
    try:
        # Not from the file's header: the write-ahead log may have a newer one.
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise JournalUnusable(
                f"the journal {path} has schema version {version}, and this server supports up to "
                f"version {len(_MIGRATIONS)}: use the newer zmqruntime-execution that wrote it"
            )
        found = [problem for (problem,) in database.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError as error:
        if is_busy(error):
            raise in_use_error(path) from error
        raise
    if found != ["ok"]:
        raise damaged_error(path, found[0])
    assert isinstance(version, int)
    return version


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
