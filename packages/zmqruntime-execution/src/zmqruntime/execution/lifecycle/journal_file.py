"""A journal on disk: who may open it, what is in it, and how a change gets there whole.

SQLite in WAL mode with ``synchronous=FULL``: when `JournalFile.write` returns, a power cut
takes nothing back. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from zmqruntime.execution.errors import CommitFailed, JournalUnusable
from zmqruntime.execution.lifecycle.journal_lock import JournalLock
from zmqruntime.execution.lifecycle.journal_notes import NoteFile
from zmqruntime.execution.lifecycle.journal_rows import Origin, State

__all__ = ["Changes", "JournalFile", "damaged"]

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

# How long to wait for somebody who writes there in spite of the lock: the server waits, too.
_BUSY_SECONDS: Final = 0.1
# The write-ahead log is cut to this length when it has been taken over.
_WAL_BYTES = 16 * 2**20
# What SQLite keeps of it in memory. The system keeps the rest, and is asked as fast.
_CACHE_KIB: Final = 128
# How often to look for pages that are free, and how many make it worth to give them back.
_DROPS_PER_VACUUM = 128
_FREE_PAGES = 64


class Changes(NamedTuple):
    """What one transaction writes."""

    dropped: Sequence[tuple[int]]
    """Their tickets."""
    added: Sequence[tuple[object, ...]]
    """The parts of an `Origin` and a `State`."""
    requests: Sequence[tuple[int, bytes]]
    """Of those that were added and have not ended, by ticket."""
    changed: Sequence[tuple[object, ...]]
    """The parts of a `State`, and a ticket."""
    results: Sequence[tuple[int, bytes, bytes | None]]
    """Of all that have ended, by ticket, behind what is kept of their requests."""


_COLUMNS: Final = Origin._fields + State._fields
# In the order of the parts of `Changes`, but that what is dropped is in two tables.
_STATEMENTS: Final = (
    "DELETE FROM executions WHERE ticket = ?",
    "DELETE FROM contents WHERE ticket = ?",
    f"INSERT INTO executions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",
    "INSERT INTO contents (ticket, request) VALUES (?, ?)",
    f"UPDATE executions SET {', '.join(f'{name} = ?' for name in State._fields)} WHERE ticket = ?",
    "INSERT OR REPLACE INTO contents (ticket, request, result) VALUES (?, ?, ?)",
)
_ORIGIN: Final = len(Origin._fields)


def damaged(path: Path, reason: str) -> JournalUnusable:
    """Return what to raise for a journal whose content is not as it was written."""
    return JournalUnusable(
        f"the journal {path} is damaged ({reason}): restore it from a copy, or move it away to "
        "begin a new one"
    )


class JournalFile:
    """One journal, held by this process alone from here to `close`.

    Args:
        path: the file; made when there is none, in a directory that exists.

    Raises:
        JournalInUse: another process, or another server of this one, holds it.
        JournalUnusable: it cannot be opened, is damaged, or is something else. It is left as
            it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._drops = 0
        if not self.path.parent.is_dir():
            raise JournalUnusable(
                f"there is no directory {self.path.parent} for the journal: make it, or name "
                "another place"
            )
        self._lock = JournalLock(self.path)
        try:
            with contextlib.ExitStack() as undo:
                self._database = self._open()
                undo.callback(self._database.close)
                notes = self.path.with_name(f"{self.path.name}.started")
                self.notes = NoteFile(notes, self._read_mark())
                undo.pop_all()
        except (OSError, sqlite3.Error) as error:
            self._lock.release()
            raise JournalUnusable(
                f"the journal {self.path} cannot be used: {error}. Repair it, or move it away to "
                "begin a new one"
            ) from error
        except BaseException:
            self._lock.release()
            raise

    def read(self) -> Iterator[tuple[Origin, State, bytes | None, bytes | None]]:
        """Return every execution, each with its request and its result, in order of arrival.

        Raises:
            JournalUnusable: it cannot be read.
        """
        query = (
            f"SELECT {', '.join(_COLUMNS)}, request, result"
            " FROM executions LEFT JOIN contents USING (ticket) ORDER BY ticket"
        )
        try:
            for values in self._database.execute(query):
                origin, state = values[:_ORIGIN], values[_ORIGIN:-2]
                yield Origin(*origin), State(*state), values[-2], values[-1]
        except sqlite3.Error as error:
            raise damaged(self.path, str(error)) from error

    def write(self, changes: Changes) -> None:
        """Write all of it, or nothing.

        Raises:
            CommitFailed: nothing was written.
        """
        mark = secrets.token_hex(8)
        try:
            with _transaction(self._database):
                self._database.execute("UPDATE latest SET mark = ?", (mark,))
                for statement, rows in zip(_STATEMENTS, (changes.dropped, *changes), strict=True):
                    if rows:
                        self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            raise CommitFailed(f"the journal {self.path} cannot be written: {error}") from error
        self.notes.begin_anew(mark)
        self._drops += len(changes.dropped)
        if self._drops >= _DROPS_PER_VACUUM:
            self._drops = 0
            self._shrink()

    def close(self, *, forget_notes: bool = False) -> None:
        """Give the file back, for the next process to open.

        ``forget_notes``: all that was noted is in the journal.
        """
        self._database.close()
        self.notes.close(forget=forget_notes)
        self._lock.release()

    def _open(self) -> sqlite3.Connection:
        if not _size(self.path):
            _refuse_if_lost(self.path)
            _create(self.path)
        version = _check(self.path)
        database = _connect(self.path)
        with contextlib.ExitStack() as undo:
            undo.callback(database.close)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            for number in range(version, len(_MIGRATIONS)):
                _migrate(database, number)
            undo.pop_all()
        return database

    def _read_mark(self) -> str:
        try:
            found = self._database.execute("SELECT mark FROM latest").fetchone()
        except sqlite3.Error as error:
            raise damaged(self.path, str(error)) from error
        if found is None:
            raise damaged(self.path, "its mark is gone")
        return str(found[0])

    def _shrink(self) -> None:
        """Give pages back to the system when many are free: a part of them, so it is not long."""
        (free,) = self._database.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._database.execute("PRAGMA page_count").fetchone()
        if free > _FREE_PAGES and free > pages // 4:
            # What cannot be done now is done the next time, or not at all: nothing is lost.
            with contextlib.suppress(sqlite3.OperationalError):
                # As a script: `execute` steps once, and each step is one page.
                self._database.executescript(f"PRAGMA incremental_vacuum({free // 2})")


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
    # Tasks and results are nobody else's business.
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
    with contextlib.closing(_connect(new)) as database:
        database.execute("PRAGMA journal_mode = MEMORY")  # No other file beside it.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for number in range(len(_MIGRATIONS)):
            _migrate(database, number)
    new.replace(path)


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # Some failures have rolled it back already.
            database.execute("ROLLBACK")
        raise


def _migrate(database: sqlite3.Connection, number: int) -> None:
    with _transaction(database):
        for statement in _MIGRATIONS[number].split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {number + 1}")


def _check(path: Path) -> int:
    """Return the version of the journal that is there, and look whether it is whole."""
    # Somebody else's database is not even opened. Ours was born with its mark.
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    application = int.from_bytes(header[_APPLICATION_ID_AT], "big")
    if not header.startswith(_MAGIC) or application != _APPLICATION_ID:
        raise JournalUnusable(
            f"{path} is no journal of zmqruntime: name another file, and this one is left as it is"
        )
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
