"""History in a journal: read records, unread records, and tombstones survive a restart."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from driving import error, request
from journals import abandon, connection_of, opened, quick_engine

from zmqruntime.execution import JournalLifecycleEngine, JournalUnusable
from zmqruntime.execution.journal import schema
from zmqruntime.execution.lifecycle.history import HistoryLimits
from zmqruntime.messages import ExecutionStatus

COMPLETE, FAILED = ExecutionStatus.COMPLETE, ExecutionStatus.FAILED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


def run(engine: JournalLifecycleEngine, *names: str) -> None:
    for name in names:
        engine.submit(request(name), 1.0)
        engine.start(name, 2.0)
        engine.finish(name, COMPLETE, 3.0, result=b'"%b"' % name.encode())


def kill(engine: JournalLifecycleEngine) -> None:
    engine.commit()
    abandon(engine)


def results(engine: Any, names: str) -> str:
    """Return the ids that are kept: a lower-case letter with its result, a capital without."""
    found = [(name, engine.get(name)) for name in names]
    return "".join(n.upper() if e.result_dropped else n for n, e in found if e is not None)


def test_read_records_are_evicted_first_after_a_restart(path: Path) -> None:
    with opened(path) as engine:
        run(engine, *"abcd")
        for name in "cab":
            engine.mark_read(name)
    with opened(path, history_limit=2) as engine:
        assert results(engine, "abcd") == "abd"
    for _ in range(2):
        with opened(path, history_limit=1) as engine:
            assert results(engine, "abcd") == "bd"


def test_read_records_count_as_unread_after_a_crash(path: Path) -> None:
    engine = quick_engine(path, history_limit=2)
    run(engine, *"abcd")
    for name in "abcd":
        engine.mark_read(name)
    engine.catch_up()
    kill(engine)
    with opened(path, history_limit=1) as engine:
        assert results(engine, "abcd") == "cd"


def test_read_marks_of_an_earlier_server_do_not_survive_a_crash(path: Path) -> None:
    with opened(path) as engine:
        run(engine, "a")
        engine.mark_read("a")
    kill(quick_engine(path))
    with opened(path, history_limit=1) as engine:
        run(engine, "b")
        engine.mark_read("b")
        assert results(engine, "ab") == "ab"


@pytest.mark.parametrize("is_closed", [True, False])
def test_tombstones_survive_a_restart(path: Path, is_closed: bool) -> None:
    limits = HistoryLimits(unread_limit=1, tombstone_limit=3)
    engine = quick_engine(path, limits=limits)
    engine.submit(request("f"), 1.0)
    engine.start("f", 2.0)
    engine.finish("f", FAILED, 3.0, error=error())
    run(engine, *"abcd")
    before = [engine.get(name) for name in "abcd"]
    engine.close() if is_closed else kill(engine)
    with opened(path, limits=limits) as engine:
        assert results(engine, "fabcd") == "ABCd"
        assert [engine.get(name) for name in "abc"] == before[:3]
        run(engine, "e")
    with opened(path, limits=limits) as engine:
        assert results(engine, "fabcde") == "BCDe"
        (count,) = connection_of(engine).execute("SELECT count(*) FROM tombstones").fetchone()
        assert count == 3
    with opened(path, limits=HistoryLimits(unread_limit=1, tombstone_limit=1)) as engine:
        assert results(engine, "fabcde") == "De"


def test_id_of_an_evicted_tombstone_can_be_reused(path: Path) -> None:
    limits = HistoryLimits(unread_limit=1, tombstone_limit=1)
    engine = quick_engine(path, limits=limits)
    run(engine, "a", "b")
    engine.commit()
    run(engine, "c")
    run(engine, "a")
    kill(engine)
    with opened(path, limits=limits) as engine:
        assert results(engine, "abc") == "aC"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE tombstones SET status = 'failed'",
        "UPDATE tombstones SET execution_id = 'b2'",
        "UPDATE read_marks SET ticket = ticket + 1",
    ],
)
def test_changed_tombstone_or_read_mark_is_detected(path: Path, damage: str) -> None:
    limits = HistoryLimits(unread_limit=1)
    with opened(path, limits=limits) as engine:
        run(engine, *"abc")
        engine.mark_read("c")
    with opened(path, limits=limits) as engine:
        assert results(engine, "abc") == "ABc"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(damage)
    database.close()
    with pytest.raises(JournalUnusable, match="has a wrong checksum"):
        quick_engine(path, limits=limits)


def test_journal_of_version_1_is_migrated(path: Path) -> None:
    with opened(path) as engine:
        run(engine, "a")
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript("DROP TABLE tombstones; DROP TABLE read_marks; PRAGMA user_version = 1")
    database.close()
    assert schema.latest_version() == 2
    for _ in range(2):
        with opened(path, limits=HistoryLimits(unread_limit=1)) as engine:
            assert results(engine, "ab") == "a"
            engine.mark_read("a")
