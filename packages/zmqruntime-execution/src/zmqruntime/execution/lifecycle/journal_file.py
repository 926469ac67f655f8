"""A journal on disk: who may open it, what is in it, and how a change gets there whole."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from zmqruntime.execution.errors import CommitFailed, JournalUnusable
from zmqruntime.execution.lifecycle.journal_database import (
    check_place,
    damaged,
    open_database,
    transaction,
)
from zmqruntime.execution.lifecycle.journal_lock import JournalLock
from zmqruntime.execution.lifecycle.journal_notes import NoteFile
from zmqruntime.execution.lifecycle.journal_rows import Origin, State
from zmqruntime.transport.errors import UnsafePath
from zmqruntime.transport.private_files import check_safe_dir

__all__ = ["Changes", "JournalFile", "check_journal_dir"]

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
    """One journal, held by this process alone from here to `close`.

    Args:
        path: the file; made if it is missing, in a directory that exists and that
            `check_journal_dir` accepts.

    Raises:
        JournalInUse: another process, or another server of this one, holds it.
        JournalUnusable: it cannot be opened, is damaged, is something else, or may be another
            user's. It is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.parent.resolve() / path.name  # A link there is refused, not followed.
        self._drops = 0
        if not self.path.parent.is_dir():
            raise JournalUnusable(
                f"there is no directory {self.path.parent} for the journal: make it, or name "
                "another place"
            )
        try:
            with contextlib.ExitStack() as undo:
                check_place(self.path)  # Nothing is put beside what is somebody else's.
                self._lock = JournalLock(self.path)
                undo.callback(self._lock.release)
                self._database = open_database(self.path)
                undo.callback(self._database.close)
                notes = self.path.with_name(f"{self.path.name}.started")
                self.notes = NoteFile(notes, self._read_mark())
                undo.pop_all()
        except UnsafePath as error:
            raise JournalUnusable(f"the journal {self.path} cannot be used: {error}") from error
        except (OSError, sqlite3.Error) as error:
            raise JournalUnusable(
                f"the journal {self.path} cannot be used: {error}. Repair it, or move it away to "
                "begin a new one"
            ) from error

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
        """Write all of it, or nothing; when it returns, a power cut takes nothing back.

        Raises:
            CommitFailed: nothing was written.
        """
        mark = secrets.token_hex(8)
        try:
            with transaction(self._database):
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
        with contextlib.ExitStack() as ends:  # Each of them, whatever happens to the others.
            ends.callback(self._lock.release)
            ends.callback(self.notes.close, forget=forget_notes)
            ends.callback(self._database.close)

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
