"""Disk space of a journal: when it makes checkpoints, and when it returns free pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from zmqruntime.execution.journal.changes import Changes
from zmqruntime.execution.journal.disk_space import DiskSpace

NO_CHANGES = Changes((), (), (), (), (), (), (), ())
DROPS = 128


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    database.executescript(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; CREATE TABLE t (x)"
    )
    yield database
    database.close()


def read(database: sqlite3.Connection, pragma: str) -> int:
    (value,) = database.execute(f"PRAGMA {pragma}").fetchone()
    assert isinstance(value, int)
    return value


def dropping(count: int) -> Changes:
    return NO_CHANGES._replace(dropped=[(ticket,) for ticket in range(count)])


@pytest.mark.parametrize(
    ("changes", "pages"),
    [
        (NO_CHANGES, 4),
        (dropping(3), 10),
        (NO_CHANGES._replace(changed=[()] * 5), 9),
        (NO_CHANGES._replace(added=[()] * 16), 5),
        (NO_CHANGES._replace(tombstones=[()] * 8, evicted_tombstones=[(n,) for n in range(8)]), 5),
        (NO_CHANGES._replace(requests=[(1, bytes(4096 - 256), None, 0)]), 5),
        (NO_CHANGES._replace(results=[(1, bytes(4096), bytes(4096 - 256), 0)]), 6),
        (NO_CHANGES._replace(results=[(1, bytes(4096), bytes(4095 - 256), 0)]), 5),
    ],
)
def test_estimate_counts_the_pages_of_rows_and_contents(changes: Changes, pages: int) -> None:
    assert changes.estimate_pages() == pages


def test_checkpoint_is_made_after_1000_pages(database: sqlite3.Connection) -> None:
    space = DiskSpace()
    made = [space.checkpoint_if_due(database, NO_CHANGES) for _ in range(500)]
    assert made == ([None] * 249 + [True]) * 2


def test_checkpoint_that_fails_is_tried_again_after_the_next_commit(
    database: sqlite3.Connection,
) -> None:
    space = DiskSpace()
    space.require_checkpoint()
    database.execute("BEGIN IMMEDIATE")  # A checkpoint in a transaction is an error.
    assert space.checkpoint_if_due(database, NO_CHANGES) is False
    database.execute("ROLLBACK")

    assert space.checkpoint_if_due(database, NO_CHANGES) is True
    assert space.checkpoint_if_due(database, NO_CHANGES) is None


@pytest.mark.parametrize(
    ("used", "free", "left"),
    [(10, 100, 50), (10, 65, 33), (10, 64, 64), (400, 100, 100)],
    ids=["many", "just enough", "too few", "a small part"],
)
def test_half_of_many_free_pages_is_returned_after_128_evictions(
    database: sqlite3.Connection, used: int, free: int, left: int
) -> None:
    for _ in range(used + free):
        database.execute("INSERT INTO t SELECT zeroblob(4000)")  # A page each.
    database.execute("DELETE FROM t WHERE rowid > ?", (used,))
    assert read(database, "freelist_count") == free
    space = DiskSpace()

    assert not space.vacuum_if_due(database, dropping(DROPS - 1))
    assert read(database, "freelist_count") == free
    assert space.vacuum_if_due(database, dropping(1))
    assert not space.vacuum_if_due(database, dropping(1))
    assert read(database, "freelist_count") == left
