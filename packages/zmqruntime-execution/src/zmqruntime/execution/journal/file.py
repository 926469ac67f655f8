"""A journal on disk: who may open it, what is in it, and how a change gets there whole."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from zmqruntime.execution.errors import CommitFailed, JournalInUse, JournalUnusable
from zmqruntime.execution.journal.agreement import check_agreement
from zmqruntime.execution.journal.boot_id import boot_id
from zmqruntime.execution.journal.database import (
    Latest,
    check_database,
    check_place,
    checkpoint,
    create_journal,
    damaged,
    is_busy,
    latest_version,
    open_database,
    open_reader,
    transaction,
)
from zmqruntime.execution.journal.lock import (
    HeldJournal,
    check_not_held,
    check_writable,
    claim,
    in_use,
)
from zmqruntime.execution.journal.mark import Mark
from zmqruntime.execution.journal.redo_log import EndNote, NoteFile, StartNote
from zmqruntime.execution.journal.redo_reader import read_notes
from zmqruntime.execution.journal.rows import (
    Origin,
    State,
    checksum,
    content_checksum,
    mark_row,
    state_checksum,
)
from zmqruntime.execution.lifecycle.history import Tombstone
from zmqruntime.transport import UnsafePath
from zmqruntime.transport.lowlevel import check_safe_dir

__all__ = ["Changes", "JournalFile", "check_journal_dir"]

_log = logging.getLogger("zmqruntime.server")

# How often to look for pages that are free, and how many make it worth to give them back.
_DROPS_PER_VACUUM = 128
_FREE_PAGES = 64
# After how many pages of the write-ahead log, roughly, they are taken over.
_PAGES_PER_CHECKPOINT = 1000
_PAGE_BYTES: Final = 4096
_ROW_BYTES: Final = 256


class Changes(NamedTuple):
    """What one transaction writes."""

    dropped: Sequence[tuple[int]]
    """Their tickets."""
    added: Sequence[tuple[object, ...]]
    """The parts of an `Origin` and of a `State`, each with their checksum."""
    requests: Sequence[tuple[int, bytes, bytes | None, int]]
    """Of those that were added and have not ended, by ticket: no result, and a checksum."""
    changed: Sequence[tuple[object, ...]]
    """The parts of a `State`, the checksum of the row, and a ticket."""
    results: Sequence[tuple[int, bytes, bytes | None, int]]
    """Of all that have ended, by ticket, behind what is kept of their requests."""
    buried: Sequence[tuple[object, ...]]
    """The parts of a `Tombstone`, and their checksum."""
    unburied: Sequence[tuple[int]]
    """The places of tombstones; also of such as are buried by the same transaction."""
    read: Sequence[tuple[int, int, int]]
    """Which records were read, as `mark_row` returns it: in the last transaction alone."""


_CHANGED: Final = (*State._fields, "state_checksum")
_COLUMNS: Final = (*Origin._fields, "origin_checksum", *_CHANGED)
_CONTENT: Final = "contents (ticket, request, result, checksum) VALUES (?, ?, ?, ?)"
# In the order of the parts of `Changes`, but that what is dropped is in two tables.
_STATEMENTS: Final = (
    "DELETE FROM executions WHERE ticket = ?",
    "DELETE FROM contents WHERE ticket = ?",
    f"INSERT INTO executions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",
    f"INSERT INTO {_CONTENT}",
    f"UPDATE executions SET {', '.join(f'{name} = ?' for name in _CHANGED)} WHERE ticket = ?",
    f"INSERT OR REPLACE INTO {_CONTENT}",
    f"INSERT INTO tombstones VALUES ({', '.join('?' * (len(Tombstone._fields) + 1))})",
    "DELETE FROM tombstones WHERE place = ?",
    "INSERT INTO read_marks VALUES (?, ?, ?)",
)
_LATEST: Final = "UPDATE latest SET mark = ?, base = ?, opened = ?, checksum = ?"
_ORIGIN: Final = len(Origin._fields)
_STATE: Final = slice(_ORIGIN + 1, _ORIGIN + 1 + len(State._fields))


def check_journal_dir(journal: Path) -> None:
    """Refuse a journal in a directory where another user could put, replace or remove files.

    A server runs the tasks in its journal as its own user. So a journal in a shared directory
    would let the others there run tasks as that user. A missing directory is left to `JournalFile`.

    Args:
        journal: as it was given: the links on the way to it are checked, too.

    Raises:
        JournalUnusable: another user could.
    """
    try:
        check_safe_dir(journal.parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise JournalUnusable(f"the journal {journal} cannot be used: {error}") from error


class JournalFile:
    """One journal: read first, and then, from `hold` to `close`, written by this process alone.

    Args:
        path: the file; made if it is missing, in a directory that exists and that
            `check_journal_dir` accepts.

    Raises:
        JournalInUse: another process, or another server of this one, holds it.
        JournalUnusable: it cannot be opened or written, is damaged, or is something else. It is
            left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.parent.resolve() / path.name  # A link there is refused, not followed.
        self._notes_path = self._beside("started")
        self.noted: Sequence[StartNote | EndNote] = ()
        """What was noted behind the latest commit, when this was opened."""
        self._boot = boot_id()
        self.notes: NoteFile
        self._latest: Latest
        self._mark: Mark
        self._base: int
        self._held: HeldJournal | None = None
        self._is_begun = False
        """Whether there are notes of this process."""
        self._lost: CommitFailed | None = None
        self._drops = 0
        self._pages = 0
        if not self.path.parent.is_dir():
            raise JournalUnusable(
                f"there is no directory {self.path.parent} for the journal: make it, or name "
                "another place"
            )
        with contextlib.ExitStack() as undo, self._explaining():
            check_not_held(self.path)
            check_place(self.path)  # Nothing is put beside what is somebody else's.
            files = self.path, self._beside("wal", "-"), self._notes_path
            check_writable(files, self.path.parent)
            # Until this is held: of servers that start together, one makes and opens it.
            undo.enter_context(claim(self.path))
            check_not_held(self.path)
            if not self.path.exists():
                create_journal(self.path)
                _log.info("the journal %s is new", self.path)
            self._database, self._version = self._open_to_read()
            try:
                self._read_marks()
            except BaseException:
                self._database.close()
                raise
            self._claim = undo.pop_all()

    def read(self) -> Iterator[tuple[Origin, State, bytes | None, bytes | None]]:
        """Return every execution, each with its request and its result, in order of arrival.

        Raises:
            JournalUnusable: it cannot be read, or some rows are not as they were written.
        """
        query = (
            f"SELECT {', '.join(f'executions.{name}' for name in _COLUMNS)},"
            " contents.ticket, request, result, contents.checksum"
            " FROM executions LEFT JOIN contents USING (ticket) ORDER BY executions.ticket"
        )
        wrong: list[str] = []
        count = 0
        try:
            for values in self._database.execute(query):
                count += 1
                origin, state = Origin(*values[:_ORIGIN]), State(*values[_STATE])
                content, request, result, content_sum = values[-4:]
                if (
                    checksum(origin) != values[_ORIGIN]
                    or state_checksum(origin.ticket, state) != values[_STATE.stop]
                    or content is None
                    or content_checksum(origin.ticket, request, result) != content_sum
                ):
                    wrong.append(str(origin.execution_id))
                elif not wrong:
                    yield origin, state, request, result
            (contents,) = self._database.execute("SELECT count(*) FROM contents").fetchone()
        except sqlite3.Error as error:
            raise damaged(self.path, str(error)) from error
        except (TypeError, ValueError) as error:
            raise damaged(self.path, f"a row of another kind: {error}") from error
        if wrong:
            named = ", ".join(map(repr, wrong[:10])) + (", ..." if len(wrong) > 10 else "")
            raise damaged(
                self.path, f"{len(wrong)} of {count} executions are not as written: {named}"
            )
        if contents != count:
            raise damaged(self.path, f"{count} executions have {contents} requests and results")

    def read_marks(self) -> Iterator[int]:
        """Return the tickets of what was read, the first first, if the last server has ended well.

        Raises:
            JournalUnusable: they cannot be read, or are not as they were written.
        """
        for row in self._select("SELECT place, ticket, checksum FROM read_marks ORDER BY place"):
            if tuple(row) != mark_row(*row[:2]):
                raise damaged(self.path, f"the mark {row[0]} of what was read is not as written")
            yield row[1]

    def read_tombstones(self) -> Iterator[Tombstone]:
        """Return what is left of executions that were evicted unread, the first first.

        Raises:
            JournalUnusable: it cannot be read, or some rows are not as they were written.
        """
        names = ", ".join((*Tombstone._fields, "checksum"))
        for row in self._select(f"SELECT {names} FROM tombstones ORDER BY place"):
            tombstone = Tombstone(*row[:-1])
            if checksum(tombstone) != row[-1]:
                raise damaged(
                    self.path, f"the tombstone of {tombstone.execution_id!r} is not as written"
                )
            yield tombstone

    def _select(self, query: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._database.execute(query)
        except sqlite3.Error as error:
            raise damaged(self.path, str(error)) from error

    def hold(self) -> None:
        """Lock the journal, to write there; it has been read.

        Raises:
            JournalInUse: another server has opened it meanwhile.
            JournalUnusable: it cannot be opened.
        """
        with self._claim, self._explaining():
            if self._version is not None:
                self._database.close()
                self._database = open_database(self.path, self._version)
                if Latest.read(self._database) != self._latest:
                    raise JournalInUse(
                        f"the journal {self.path} was changed by another server while this one "
                        "read it: end that server, or give this one a journal of its own"
                    )
            with contextlib.suppress(FileNotFoundError):
                self._beside("shm", "-").unlink()  # Of the reader. None is needed any more.
            self._held = HeldJournal(self.path, self._beside("wal", "-"))

    def write(self, changes: Changes, *, closing: bool = False) -> None:
        """Write all of it, or nothing; when it returns, a power cut takes nothing back.

        Args:
            changes: what to write.
            closing: this is the last commit; nothing will be noted behind it.

        Raises:
            CommitFailed: nothing was written, or its files are not where they were.
        """
        if self._lost is not None:
            raise self._lost
        self.check()
        self._mark = self._mark.next()  # Also where the last commit failed: it may be on disk.
        latest = Latest(self._mark, self._base, None if closing else self._boot)
        try:
            self.notes.prepare(latest.mark)
            if not self._is_begun:  # From here on, the database says that there are notes.
                self.notes.sync_header()
            with transaction(self._database):
                self._database.execute(_LATEST, latest.to_row())
                if not self._is_begun:
                    self._database.execute("DELETE FROM read_marks")  # The engine has them.
                for statement, rows in zip(_STATEMENTS, (changes.dropped, *changes), strict=True):
                    if rows:
                        self._database.executemany(statement, rows)
        except (OSError, sqlite3.Error) as error:
            raise CommitFailed(f"the journal {self.path} cannot be written: {error}") from error
        self._latest = latest
        self.notes.begin_anew(latest.mark)
        self._confirm()
        if not self._is_begun:
            self._begin()
        if self._tidy(changes):
            with contextlib.suppress(CommitFailed):  # This commit is safe; the next one finds it.
                self._held_journal.confirm()

    def check(self) -> None:
        """Find out whether what is written gets to where the next server finds it.

        Raises:
            CommitFailed: it does not.
        """
        self._held_journal.check()

    def close(self, *, forget_notes: bool = False) -> None:
        """Give the file back, for the next process to open.

        ``forget_notes``: all that was noted is in the journal.
        """
        with contextlib.ExitStack() as ends:  # Each of them, whatever happens to the others.
            if self._held is not None:
                ends.callback(self._held.release)
            ends.callback(self.notes.close, forget=forget_notes)
            ends.callback(self._database.close)
            ends.callback(self._claim.close)

    @property
    def _held_journal(self) -> HeldJournal:
        assert self._held is not None, "the journal is not held"
        return self._held

    def _open_to_read(self) -> tuple[sqlite3.Connection, int | None]:
        """Return a connection, and the version if another one is wanted to write."""
        database, version = open_reader(self.path)
        if database is not None and version == latest_version():
            return database, version
        if database is not None:  # It has to be brought up to date before it can be read.
            database.close()
        database = open_database(self.path, version)
        try:
            check_database(self.path, database)
        except BaseException:
            database.close()
            raise
        return database, None

    def _read_marks(self) -> None:
        """Read what the database and the notes know of the latest commit, and compare."""
        try:
            self._latest = Latest.read(self._database)
            found = read_notes(self._notes_path)
            warning = check_agreement(self.path, self._latest, found, self._boot)
        except (sqlite3.Error, ValueError) as error:
            if is_busy(error):
                raise in_use(self.path) from error
            raise damaged(self.path, str(error)) from error
        if warning is not None:
            _log.warning("%s", warning)
        self._base = self._latest.base
        self._mark = self._latest.mark.reopened()
        end = None
        if found is not None and found.mark == self._latest.mark:
            self.noted = found.notes
            end = found.end
        self.notes = NoteFile(self._notes_path, self._latest.mark, end)

    def _begin(self) -> None:
        self._is_begun = True
        self._held_journal.watch(self._notes_path)
        # The database file alone says from now on that it needs the others: it may be moved.
        self._pages = _PAGES_PER_CHECKPOINT

    def _confirm(self) -> None:
        """Compare once more: what was removed meanwhile has taken this commit with it."""
        try:
            self._held_journal.confirm()
        except CommitFailed as error:
            self._lost = CommitFailed(f"{error} (a commit was lost with it)")
            raise self._lost from error

    def _tidy(self, changes: Changes) -> bool:
        """Take over a long write-ahead log, give back free pages; return whether files changed."""
        self._pages += _count_pages(changes)
        self._drops += len(changes.dropped)
        is_long, is_free = self._pages >= _PAGES_PER_CHECKPOINT, self._drops >= _DROPS_PER_VACUUM
        if is_long:
            # Where it fails, all is in the log, which grows until it works.
            with contextlib.suppress(sqlite3.Error):
                if checkpoint(self._database):
                    self._base = self._latest.mark.commit
                    self._pages = 0
        if is_free:
            self._drops = 0
            self._shrink()
        return is_long or is_free

    def _shrink(self) -> None:
        """Give pages back to the system when many are free: a part of them, so it is not long."""
        (free,) = self._database.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._database.execute("PRAGMA page_count").fetchone()
        if free > _FREE_PAGES and free > pages // 4:
            # What cannot be done now is done the next time, or not at all: nothing is lost.
            with contextlib.suppress(sqlite3.OperationalError):
                # As a script: `execute` steps once, and each step is one page.
                self._database.executescript(f"PRAGMA incremental_vacuum({free // 2})")

    def _beside(self, suffix: str, mark: str = ".") -> Path:
        return self.path.with_name(f"{self.path.name}{mark}{suffix}")

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except UnsafePath as error:
            raise JournalUnusable(f"the journal {self.path} cannot be used: {error}") from error
        except (OSError, sqlite3.Error, UnicodeError) as error:
            if is_busy(error):
                raise in_use(self.path) from error
            raise JournalUnusable(
                f"the journal {self.path} cannot be used: {error}. Repair it, or move it away to "
                "begin a new one"
            ) from error


def _count_pages(changes: Changes) -> int:
    """Return about how many pages a transaction writes."""
    contents = (*changes.requests, *changes.results)
    size = sum(len(request) + len(result or b"") for _, request, result, _ in contents)
    size += _ROW_BYTES * (len(changes.added) + len(contents))
    size += _ROW_BYTES * (len(changes.buried) + len(changes.unburied))
    return 4 + len(changes.changed) + 2 * len(changes.dropped) + size // _PAGE_BYTES
