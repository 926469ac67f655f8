"""The row with which a journal identifies its latest commit."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from zmqruntime.execution.journal.commit_id import CommitId
from zmqruntime.execution.journal.rows import checksum

__all__ = ["LatestCommit", "read_checkpointed_commit"]


class LatestCommit(NamedTuple):
    """The one row of the table ``latest``."""

    commit_id: CommitId
    base: int
    """The commit number of the last checkpoint: the database file alone has all up to it."""
    opened: str | None
    """The boot id of the server that has the journal open; None: it was closed, and all of the
    redo log is in the database."""

    @classmethod
    def new(cls) -> LatestCommit:
        """Return the row of a new journal."""
        return cls(CommitId.new(), 0, None)

    @classmethod
    def read(cls, database: sqlite3.Connection) -> LatestCommit:
        """Read the row.

        Raises:
            ValueError: it is missing or damaged.
            sqlite3.Error: it cannot be read.
        """
        found = database.execute("SELECT mark, base, opened, checksum FROM latest").fetchone()
        if found is None or found[3] != checksum(found[:3]):
            raise ValueError("the row of its latest commit is missing or was changed")
        return cls(CommitId.parse(found[0]), found[1], found[2])

    def insert(self, database: sqlite3.Connection) -> None:
        """Write the row of a new journal."""
        database.execute("INSERT INTO latest VALUES (?, ?, ?, ?)", self._row())

    def update(self, database: sqlite3.Connection) -> None:
        """Replace the row."""
        query = "UPDATE latest SET mark = ?, base = ?, opened = ?, checksum = ?"
        database.execute(query, self._row())

    def _row(self) -> tuple[str, int, str | None, int]:
        values = str(self.commit_id), self.base, self.opened
        return (*values, checksum(values))


def read_checkpointed_commit(path: Path) -> CommitId | None:
    """Return the latest commit in the database file, without its write-ahead log.

    None: the file cannot be read alone, as after a kill during a checkpoint.
    """
    database = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)
    try:
        return LatestCommit.read(database).commit_id
    except (sqlite3.Error, ValueError):
        return None
    finally:
        database.close()
