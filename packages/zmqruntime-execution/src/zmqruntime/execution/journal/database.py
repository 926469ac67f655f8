"""The database of a journal: made, checked, brought up to date, and opened.

SQLite in WAL mode with ``synchronous=FULL``: when a `transaction` ends, a power cut takes
nothing back. https://www.sqlite.org/wal.html

``locking_mode=EXCLUSIVE`` from before the first access: SQLite keeps its lock on the database
file as long as the connection lives, and needs no file of shared memory.
https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from zmqruntime.execution.errors import JournalUnusable
from zmqruntime.execution.journal.lock import in_use
from zmqruntime.execution.journal.mark import Mark
from zmqruntime.execution.journal.rows import checksum
from zmqruntime.transport.lowlevel import check_private_file, open_private

__all__ = [
    "Latest",
    "check_database",
    "check_place",
    "checkpoint",
    "create_journal",
    "damaged",
    "is_busy",
    "latest_version",
    "open_database",
    "open_reader",
    "read_base",
    "transaction",
]

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
    -- Apart, so that a change of state does not write a large task or result again.
    CREATE TABLE contents (
        ticket INTEGER PRIMARY KEY,
        request BLOB,
        result BLOB,
        checksum INTEGER NOT NULL
    );
    -- One row: the mark of the last commit, the number of the commit up to which the database file
    -- had all without its write-ahead log, and since which boot of the machine a server has it
    -- open. NULL: it was closed, and nothing is noted beside it.
    CREATE TABLE latest (
        mark TEXT NOT NULL,
        base INTEGER NOT NULL,
        opened TEXT,
        checksum INTEGER NOT NULL
    );
    """,
    """
    -- What is left of executions whose records were evicted unread.
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
    -- Which records were read, in this order: written when a server ends, and empty meanwhile.
    CREATE TABLE read_marks (
        place INTEGER PRIMARY KEY,
        ticket INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    );
    """,
)

# Until a commit is on the disk itself.
_SYNCHRONOUS = "FULL"
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

# https://www.sqlite.org/rescode.html
_PRIMARY: Final = 0xFF
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


class Latest(NamedTuple):
    """What a journal knows of its latest commit."""

    mark: Mark
    base: int
    """The number of the commit up to which the database file has all without its log."""
    opened: str | None
    """Since which boot of the machine a server has it open; None: it was closed."""

    @classmethod
    def read(cls, database: sqlite3.Connection) -> Latest:
        """Read it.

        Raises:
            ValueError: it is not as it was written.
            sqlite3.Error: it cannot be read.
        """
        found = database.execute("SELECT mark, base, opened, checksum FROM latest").fetchone()
        if found is None or found[3] != checksum(found[:3]):
            raise ValueError("its mark is gone or changed")
        return cls(Mark.parse(found[0]), found[1], found[2])

    def to_row(self) -> tuple[str, int, str | None, int]:
        """Return its columns, with their checksum."""
        values = str(self.mark), self.base, self.opened
        return (*values, checksum(values))


def latest_version() -> int:
    """Return the version of the schema that this package writes."""
    return len(_MIGRATIONS)


def damaged(path: Path, reason: str) -> JournalUnusable:
    """Return what to raise for a journal whose content is not as it was written."""
    return JournalUnusable(
        f"the journal {path} is damaged ({reason}): restore it from a copy, or move it away to "
        "begin a new one"
    )


def check_place(path: Path) -> None:
    """Refuse a path where something else is than a journal.

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
    if not header:  # It is not made so: `create_journal` has it whole from the start.
        raise JournalUnusable(
            f"{path} is empty: if it was a journal, restore it from a copy; else remove it"
        )
    application = int.from_bytes(header[_APPLICATION_ID_AT], "big")  # Ours was born with its mark.
    if not (header.startswith(_MAGIC) and application == _APPLICATION_ID):
        raise JournalUnusable(
            f"{path} is no journal of zmqruntime: name another file, and this one is left as it is"
        )


def open_reader(path: Path) -> tuple[sqlite3.Connection | None, int]:
    """Return a connection that changes nothing, and the version of the journal's schema.

    No connection: SQLite needs room on the disk to read a write-ahead log that way, and there
    is none. The version is then that of this package.

    Raises:
        JournalInUse: another process has it.
        JournalUnusable: it is damaged, or something else.
        sqlite3.Error: it cannot be opened.
    """
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", _BUSY_SECONDS, uri=True)
    database.isolation_level = None
    try:
        return database, check_database(path, database)
    except sqlite3.OperationalError as error:
        database.close()
        if error.sqlite_errorcode in _NO_ROOM:
            return None, len(_MIGRATIONS)
        raise
    except BaseException:
        database.close()
        raise


def read_base(path: Path) -> Mark | None:
    """Return the mark of the commit up to which the database file has all without its log.

    None: it cannot be read there, as a kill in the middle of a checkpoint may leave it.
    """
    database = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)
    try:
        return Latest.read(database).mark
    except (sqlite3.Error, ValueError):
        return None
    finally:
        database.close()


def open_database(path: Path, version: int) -> sqlite3.Connection:
    """Return a journal's database, locked, and brought up to date from ``version``.

    Raises:
        JournalInUse: another process, or another server of this one, has it.
        sqlite3.Error: it cannot be opened.
    """
    with contextlib.ExitStack() as undo:
        try:
            database = undo.enter_context(contextlib.closing(_connect(path)))
            database.execute("PRAGMA journal_mode = WAL").fetchone()
            database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as error:
            raise busy_or(path, error) from error
        database.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        # `checkpoint` does it: it has to be known up to where the file has all.
        database.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(version, len(_MIGRATIONS)):
            _migrate(database, number)
        undo.pop_all()
    return database


def busy_or(path: Path, error: sqlite3.OperationalError) -> Exception:
    """Return what to raise where opening failed: `JournalInUse`, if that is why."""
    return in_use(path) if is_busy(error) else error


def is_busy(error: Exception) -> bool:
    """Whether a database could not be opened or read since another process has locked it."""
    if not isinstance(error, sqlite3.OperationalError):
        return False
    code = error.sqlite_errorcode & _PRIMARY  # The rest says why: SQLITE_BUSY_RECOVERY.
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def checkpoint(database: sqlite3.Connection) -> bool:
    """Have all of the write-ahead log in the database file; return whether it is.

    Raises:
        sqlite3.Error: it is not; the log has it as before.
    """
    busy, in_log, moved = database.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    return not busy and in_log == moved


def create_journal(path: Path) -> None:
    """Make a journal with nothing in it. A kill leaves it whole, or not there at all.

    The caller has the `claim`, so that no other server makes it at the same time.

    Raises:
        JournalUnusable: there is a part of an older one.
        OSError, sqlite3.Error: it cannot be made.
    """
    for name in (f"{path.name}-wal", f"{path.name}.started"):
        if _size(path.with_name(name)):
            raise JournalUnusable(
                f"the journal {path} is gone, and a part of it, {name}, is not: "
                "restore it from a copy, or move that away, too, to begin a new one"
            )
    new = path.with_name(f"{path.name}.new")
    # SQLite gives the files beside it the mode of this one.
    os.close(open_private(new, write=True, create=True, truncate=True))
    with contextlib.closing(_connect(new)) as database:
        database.execute("PRAGMA journal_mode = MEMORY")  # No other file beside it.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for number in range(len(_MIGRATIONS)):
            _migrate(database, number)
        with transaction(database):
            latest = Latest(Mark.new(), 0, None)
            database.execute("INSERT INTO latest VALUES (?, ?, ?, ?)", latest.to_row())
    new.replace(path)


def check_database(path: Path, database: sqlite3.Connection) -> int:
    """Return the version of a journal, and look whether its structure is whole.

    Raises:
        JournalInUse: another process has it.
        JournalUnusable: it is damaged, or of a newer version.
        sqlite3.Error: it cannot be read.
    """
    try:
        # It may be in the write-ahead log still.
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise JournalUnusable(
                f"the journal {path} is of version {version}, and this server reads up to "
                f"{len(_MIGRATIONS)}: use the newer zmqruntime-execution that has written it"
            )
        found = [problem for (problem,) in database.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError as error:
        raise busy_or(path, error) from error
    if found != ["ok"]:
        raise damaged(path, found[0])
    assert isinstance(version, int)
    return version


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
    database.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()  # Before it is looked at.
    database.execute(f"PRAGMA synchronous = {_SYNCHRONOUS}")
    # On macOS a plain sync leaves data in the disk's own cache. Elsewhere these change nothing.
    database.execute("PRAGMA fullfsync = ON")
    database.execute("PRAGMA checkpoint_fullfsync = ON")
    return database


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _migrate(database: sqlite3.Connection, number: int) -> None:
    with transaction(database):
        for statement in _MIGRATIONS[number].split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {number + 1}")
