"""A journal on disk: who may open it, what is in it, and how a change gets there whole.

SQLite in WAL mode with ``synchronous=FULL``: when `JournalFile.write` returns, a power cut
takes nothing back. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import filelock

from zmqruntime.execution.errors import CommitFailed, JournalInUse, JournalUnusable

__all__ = ["Changes", "JournalFile", "Origin", "Start", "State", "damaged"]

_APPLICATION_ID: Final = 0x5A4D5152  # "ZMQR"
# https://www.sqlite.org/fileformat2.html#the_database_header
_BINARY: Final = getattr(os, "O_BINARY", 0)
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
    """,
)

# How long to wait for somebody who writes there in spite of the lock: the server waits, too.
_BUSY_SECONDS: Final = 0.1
# The write-ahead log is cut to this length when it has been taken over.
_WAL_BYTES = 16 * 2**20
# Behind the last note beside the journal is an empty one.
_NO_MORE_NOTES: Final = b"\n"
# More than there is time for between two commits. Taken from the start, so no full disk matters.
_ROOM_FOR_NOTES: Final = 2**16
# How often to look for pages that are free, and how many make it worth to give them back.
_DROPS_PER_VACUUM = 128
_FREE_PAGES = 64


class Origin(NamedTuple):
    """What an execution was submitted as: written once."""

    ticket: int
    execution_id: str
    client_id: str
    fingerprint: bytes
    labels: bytes
    options: bytes
    submitted_at: float


class State(NamedTuple):
    """How an execution is: written whenever that has changed."""

    status: str
    attempt: int
    started_at: float | None
    finished_at: float | None
    ended: int | None
    """The order in which executions have ended."""
    cancel_requested: int
    sequence: int
    progress: bytes | None
    error: bytes | None
    attempts: bytes
    retry_at: float | None


class Start(NamedTuple):
    """The start of an attempt: it is noted at once, and written later.

    What it is of is named so that no other execution is taken for it, in no journal: a note may
    lie there longer than what it tells of.
    """

    execution_id: str
    submitted_at: float
    attempt: int
    started_at: float


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
    results: Sequence[tuple[int, bytes | None]]
    """Of all that have ended, by ticket; their requests are dropped."""


_COLUMNS: Final = Origin._fields + State._fields
# In the order of the parts of `Changes`, but that what is dropped is in two tables.
_STATEMENTS: Final = (
    "DELETE FROM executions WHERE ticket = ?",
    "DELETE FROM contents WHERE ticket = ?",
    f"INSERT INTO executions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",
    "INSERT INTO contents (ticket, request) VALUES (?, ?)",
    f"UPDATE executions SET {', '.join(f'{name} = ?' for name in State._fields)} WHERE ticket = ?",
    "INSERT OR REPLACE INTO contents (ticket, result) VALUES (?, ?)",
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
        self._notes_path = self.path.with_name(f"{self.path.name}.started")
        self._noted = 0
        self._drops = 0
        if not self.path.parent.is_dir():
            raise JournalUnusable(
                f"there is no directory {self.path.parent} for the journal: make it, or name "
                "another place"
            )
        self._lock = _hold(self.path)
        try:
            with contextlib.ExitStack() as undo:
                self._database = self._open()
                undo.callback(self._database.close)
                self._notes = _open_notes(self._notes_path)
                undo.pop_all()
        except (OSError, sqlite3.Error) as error:
            self._let_go()
            raise JournalUnusable(
                f"the journal {self.path} cannot be used: {error}. Repair it, or move it away to "
                "begin a new one"
            ) from error
        except BaseException:
            self._let_go()
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
        try:
            with _transaction(self._database):
                if not any(changes):
                    # Page 1, so that there is something to write: on a full disk it fails.
                    self._database.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
                for statement, rows in zip(_STATEMENTS, (changes.dropped, *changes), strict=True):
                    if rows:
                        self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            raise CommitFailed(f"the journal {self.path} cannot be written: {error}") from error
        # What is noted is in the journal now. Where it cannot be cut it is the next time.
        if self._noted and self._put_note(0, b""):
            self._noted = 0
        self._drops += len(changes.dropped)
        if self._drops >= _DROPS_PER_VACUUM:
            self._drops = 0
            self._shrink()

    def note_start(self, start: Start) -> bool:
        """Note a start where it outlives this process, though not yet a power cut.

        A task is told to begin when this returns. To write it to the journal takes longer than
        many a task, so that is done while the task runs, or even the next ones. False: it could
        not be noted, and has to be in the journal first.
        """
        note = f"{' '.join(map(str, start))}\n".encode("ascii")
        if is_noted := self._put_note(self._noted, note):
            self._noted += len(note)
        return is_noted

    def read_starts(self) -> list[Start]:
        """Return what was noted since the last `write`, perhaps by a process that has died."""
        os.lseek(self._notes, 0, os.SEEK_SET)
        starts = []
        self._noted = 0
        for line in os.read(self._notes, os.fstat(self._notes).st_size).splitlines(keepends=True):
            try:
                name, submitted_at, attempt, started_at = line.decode("ascii").split()
                start = Start(name, float(submitted_at), int(attempt), float(started_at))
            except ValueError:
                break  # There are no more.
            starts.append(start)
            self._noted += len(line)
        return starts

    def close(self, *, forget_starts: bool = False) -> None:
        """Give the file back, for the next process to open.

        ``forget_starts``: every start is in the journal, and needs no note any more.
        """
        self._database.close()
        os.close(self._notes)
        if forget_starts:
            self._notes_path.unlink(missing_ok=True)
        self._let_go()

    def _put_note(self, at: int, note: bytes) -> bool:
        """Return whether all of it could be written: the disk may be full, or fail."""
        content = note + _NO_MORE_NOTES
        try:
            os.lseek(self._notes, at, os.SEEK_SET)
            return os.write(self._notes, content) == len(content)
        except OSError:
            return False

    def _let_go(self) -> None:
        _owner_path(self.path).unlink(missing_ok=True)
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
            for number in range(version, len(_MIGRATIONS)):
                _migrate(database, number)
            undo.pop_all()
        return database

    def _shrink(self) -> None:
        """Give pages back to the system when many are free: a part of them, so it is not long."""
        (free,) = self._database.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._database.execute("PRAGMA page_count").fetchone()
        if free > _FREE_PAGES and free > pages // 4:
            # What cannot be done now is done the next time, or not at all: nothing is lost.
            with contextlib.suppress(sqlite3.OperationalError):
                # As a script: `execute` steps once, and each step is one page.
                self._database.executescript(f"PRAGMA incremental_vacuum({free // 2})")


def _open_notes(path: Path) -> int:
    notes = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
    try:
        size = os.lseek(notes, 0, os.SEEK_END)
        os.write(notes, bytes(max(0, _ROOM_FOR_NOTES - size)))
    except BaseException:
        os.close(notes)
        raise
    return notes


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


def _hold(path: Path) -> filelock.BaseFileLock:
    lock = filelock.FileLock(f"{path}.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
        _owner_path(path).write_text(f"process {os.getpid()}", encoding="ascii")
    except filelock.Timeout:
        raise JournalInUse(
            f"the journal {path} is in use by {_read_owner(path)}: end that server first, or give "
            "this one a journal of its own"
        ) from None
    except OSError as error:
        lock.release()
        raise JournalUnusable(f"the journal {path} cannot be locked: {error}") from error
    return lock


def _owner_path(path: Path) -> Path:
    # Beside the lock: on Windows nobody can read a file that is locked.
    return path.with_name(f"{path.name}.owner")


def _read_owner(path: Path) -> str:
    try:
        return _owner_path(path).read_text(encoding="ascii") or "another server"
    except (OSError, UnicodeDecodeError):
        return "another server"  # Which has not written it yet.
