"""The rows that one transaction writes, and the statements that write them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from zmqruntime.execution.journal.rows import Origin, State
from zmqruntime.execution.lifecycle.history import Tombstone

__all__ = ["Changes"]

_PAGE_BYTES: Final = 4096
_ROW_BYTES: Final = 256

_STATE_COLUMNS: Final = (*State._fields, "state_checksum")
_COLUMNS: Final = (*Origin._fields, "origin_checksum", *_STATE_COLUMNS)
_CONTENT: Final = "contents (ticket, request, result, checksum) VALUES (?, ?, ?, ?)"
# In the order of the fields of `Changes`; dropped executions are in two tables.
_STATEMENTS: Final = (
    "DELETE FROM executions WHERE ticket = ?",
    "DELETE FROM contents WHERE ticket = ?",
    f"INSERT INTO executions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",
    f"INSERT INTO {_CONTENT}",
    f"UPDATE executions SET {', '.join(f'{name} = ?' for name in _STATE_COLUMNS)} WHERE ticket = ?",
    f"INSERT OR REPLACE INTO {_CONTENT}",
    f"INSERT INTO tombstones VALUES ({', '.join('?' * (len(Tombstone._fields) + 1))})",
    "DELETE FROM tombstones WHERE place = ?",
    "INSERT INTO read_marks VALUES (?, ?, ?)",
)


class Changes(NamedTuple):
    """The rows of one transaction."""

    dropped: Sequence[tuple[int]]
    """The tickets of evicted executions."""
    added: Sequence[tuple[object, ...]]
    """An `Origin` and a `State`, each followed by its checksum."""
    requests: Sequence[tuple[int, bytes, bytes | None, int]]
    """The contents of added executions that have not ended: no result, and a checksum."""
    changed: Sequence[tuple[object, ...]]
    """A `State`, its checksum, and the ticket of the row."""
    results: Sequence[tuple[int, bytes, bytes | None, int]]
    """The contents of executions that have ended, with a checksum."""
    tombstones: Sequence[tuple[object, ...]]
    """A `Tombstone`, and its checksum."""
    evicted_tombstones: Sequence[tuple[int]]
    """The places of evicted tombstones, some of which the same transaction has inserted."""
    read: Sequence[tuple[int, int, int]]
    """Which records were read, as `read_mark_row` returns them; only in the last transaction."""

    def execute(self, database: sqlite3.Connection) -> None:
        """Write the rows.

        Raises:
            sqlite3.Error: a statement failed.
        """
        for statement, rows in zip(_STATEMENTS, (self.dropped, *self), strict=True):
            if rows:
                database.executemany(statement, rows)

    def estimate_pages(self) -> int:
        """Return about how many pages of the write-ahead log the transaction takes."""
        contents = (*self.requests, *self.results)
        size = sum(len(request) + len(result or b"") for _, request, result, _ in contents)
        size += _ROW_BYTES * (len(self.added) + len(contents))
        size += _ROW_BYTES * (len(self.tombstones) + len(self.evicted_tombstones))
        return 4 + len(self.changed) + 2 * len(self.dropped) + size // _PAGE_BYTES
