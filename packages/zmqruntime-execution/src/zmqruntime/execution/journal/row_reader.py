"""Reads the rows of a journal, and verifies their checksums."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from zmqruntime.execution.journal.database import damaged_error
from zmqruntime.execution.journal.rows import (
    Origin,
    State,
    checksum,
    content_checksum,
    read_mark_row,
    state_checksum,
)
from zmqruntime.execution.lifecycle.history import Tombstone

__all__ = ["RowReader"]

_COLUMNS: Final = (*Origin._fields, "origin_checksum", *State._fields, "state_checksum")
_ORIGIN: Final = len(Origin._fields)
_STATE: Final = slice(_ORIGIN + 1, _ORIGIN + 1 + len(State._fields))
_NAMES_IN_ERROR: Final = 10


class RowReader:
    """Reads a journal, row by row.

    Args:
        path: of the journal, for errors.
        database: a connection to it.
    """

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path = path
        self._database = database

    def executions(self) -> Iterator[tuple[Origin, State, bytes | None, bytes | None]]:
        """Return every execution with its request and its result, in order of arrival.

        Raises:
            JournalUnusable: a row cannot be read, or has a wrong checksum.
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
            raise damaged_error(self._path, str(error)) from error
        except (TypeError, ValueError) as error:
            raise damaged_error(self._path, f"a row has invalid values: {error}") from error
        if wrong:
            names = ", ".join(map(repr, wrong[:_NAMES_IN_ERROR]))
            more = ", ..." if len(wrong) > _NAMES_IN_ERROR else ""
            raise damaged_error(
                self._path,
                f"{len(wrong)} of {count} executions have a wrong checksum: {names}{more}",
            )
        if contents != count:
            raise damaged_error(
                self._path, f"{count} executions have {contents} rows of requests and results"
            )

    def read_tickets(self) -> Iterator[int]:
        """Return the tickets of records that were read, the first first; after a crash, none.

        Raises:
            JournalUnusable: a row cannot be read, or has a wrong checksum.
        """
        for row in self._select("SELECT place, ticket, checksum FROM read_marks ORDER BY place"):
            if tuple(row) != read_mark_row(*row[:2]):
                raise damaged_error(self._path, f"read mark {row[0]} has a wrong checksum")
            yield row[1]

    def tombstones(self) -> Iterator[Tombstone]:
        """Return the tombstones, the oldest first.

        Raises:
            JournalUnusable: a row cannot be read, or has a wrong checksum.
        """
        names = ", ".join((*Tombstone._fields, "checksum"))
        for row in self._select(f"SELECT {names} FROM tombstones ORDER BY place"):
            tombstone = Tombstone(*row[:-1])
            if checksum(tombstone) != row[-1]:
                name = tombstone.execution_id
                raise damaged_error(self._path, f"the tombstone of {name!r} has a wrong checksum")
            yield tombstone

    def _select(self, query: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._database.execute(query)
        except sqlite3.Error as error:
            raise damaged_error(self._path, str(error)) from error
