"""The database of a journal: made, checked, brought up to date, and opened.

SQLite in WAL mode with ``synchronous=FULL``: when a `transaction` ends, a power cut takes
nothing back. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zmqruntime.execution.errors import JournalUnusable
from zmqruntime.transport.private_files import check_private_file, open_private

__all__ = ["check_place", "damaged", "open_database", "transaction"]

_APPLICATION_ID: Final = 0x5A4D5152  # "ZMQR"
# https://www.sqlite.org/fileformat2.html#the_database_header
_MAGIC: Final = b"SQLite format 3\0"
_APPLICATION_ID_AT: Final = slice(68, 72)
_HEADER_BYTES: Final = 100

# Entry n brings a journal of version n to the next one. What has been released never changes.
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
        retry_at REAL
    );
    -- Apart, so that a change of state does not write a large task or result again.
    CREATE TABLE contents (ticket INTEGER PRIMARY KEY, request BLOB, result BLOB);
    -- One row: what the last commit is known by.
    CREATE TABLE latest (mark TEXT NOT NULL);
    INSERT INTO latest VALUES (lower(hex(randomblob(8))));
    """,
)

# The files beside a journal: those of SQLite, which opens them by their names
# (https://www.sqlite.org/tempfiles.html), and those of this package; `NoteFile` checks its own.
_SUFFIXES: Final = (
    *("-wal", "-shm", "-journal"),
    *(".new", ".worker", ".owner", ".lock"),
)

# How long to wait for somebody who writes there in spite of the lock: the server waits, too.
_BUSY_SECONDS: Final = 0.1
# The write-ahead log is cut to this length when it has been taken over.
_WAL_BYTES = 16 * 2**20
# What SQLite keeps of it in memory. The system keeps the rest, and is asked as fast.
_CACHE_KIB: Final = 256


def damaged(path: Path, reason: str) -> JournalUnusable:
    """Return what to raise for a journal whose content is not as it was written."""
    return JournalUnusable(
        f"the journal {path} is damaged ({reason}): restore it from a copy, or move it away to "
        "begin a new one"
    )


def check_place(path: Path) -> None:
    """Refuse a path where something else is than a journal, or a file with nothing in it.

    Raises:
        JournalUnusable: it is something else. It is not even opened for writing.
        UnsafePath: it, or a file that is kept beside it, may be another user's.
        OSError: it cannot be examined.
    """
    for suffix in _SUFFIXES:
        check_private_file(path.with_name(path.name + suffix))
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise JournalUnusable(f"{path} is a symbolic link: name the journal's own file")
    if not stat.S_ISREG(mode):  # A journal would take the place of a device, or wait for a pipe.
        what = "a directory" if stat.S_ISDIR(mode) else "no ordinary file"
        raise JournalUnusable(f"{path} is {what}: name a file for the journal")
    with os.fdopen(open_private(path), "rb") as file:
        header = file.read(_HEADER_BYTES)
    application = int.from_bytes(header[_APPLICATION_ID_AT], "big")  # Ours was born with its mark.
    if header and not (header.startswith(_MAGIC) and application == _APPLICATION_ID):
        raise JournalUnusable(
            f"{path} is no journal of zmqruntime: name another file, and this one is left as it is"
        )


def open_database(path: Path) -> sqlite3.Connection:
    """Return a journal's database, made when there is none, and as this version has it.

    Raises:
        JournalUnusable: it is damaged, or something else. It is left as it is.
        OSError, sqlite3.Error: it cannot be opened.
    """
    check_place(path)  # Again, now that nobody else makes one.
    if not _size(path):
        _refuse_if_lost(path)
        _create(path)
    version = _check(path)
    database = _connect(path)
    with contextlib.ExitStack() as undo:
        undo.callback(database.close)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        for number in range(version, len(_MIGRATIONS)):
            _migrate(database, number)
        undo.pop_all()
    return database


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Have what is executed within written whole, or not at all."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # Some failures have rolled it back already.
            database.execute("ROLLBACK")
        raise


def _connect(path: Path) -> sqlite3.Connection:
    # Opened in the thread that starts a server, used in that of its loop.
    database = sqlite3.connect(path, _BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA synchronous = FULL")
    # On macOS a plain sync leaves data in the disk's own cache. Elsewhere these change nothing.
    database.execute("PRAGMA fullfsync = ON")
    database.execute("PRAGMA checkpoint_fullfsync = ON")
    return database


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _refuse_if_lost(path: Path) -> None:
    """Refuse where there was a journal: SQLite would throw away what is left of it."""
    log = path.with_name(f"{path.name}-wal")
    if _size(log):
        raise JournalUnusable(
            f"the journal {path} is gone or empty, and its write-ahead log {log.name} is not: "
            "restore it from a copy, or move that away, too, to begin a new one"
        )


def _create(path: Path) -> None:
    """Make a journal with nothing in it. A kill leaves it whole, or not there at all."""
    new = path.with_name(f"{path.name}.new")
    # SQLite gives the files beside it the mode of this one.
    os.close(open_private(new, write=True, create=True, truncate=True))
    with contextlib.closing(_connect(new)) as database:
        database.execute("PRAGMA journal_mode = MEMORY")  # No other file beside it.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for number in range(len(_MIGRATIONS)):
            _migrate(database, number)
    new.replace(path)


def _migrate(database: sqlite3.Connection, number: int) -> None:
    with transaction(database):
        for statement in _MIGRATIONS[number].split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {number + 1}")


def _check(path: Path) -> int:
    """Return the version of the journal that is there, and look whether it is whole."""
    # Read-only: one that is damaged is left as it is, its write-ahead log included.
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        # It may be in the write-ahead log still.
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise JournalUnusable(
                f"the journal {path} is of version {version}, and this server reads up to "
                f"{len(_MIGRATIONS)}: use the newer zmqruntime-execution that has written it"
            )
        found = [problem for (problem,) in database.execute("PRAGMA quick_check(1)")]
    finally:
        database.close()
    if found != ["ok"]:
        raise damaged(path, found[0])
    assert isinstance(version, int)
    return version
