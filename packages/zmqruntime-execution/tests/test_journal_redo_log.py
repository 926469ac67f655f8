"""Redo log: short tasks are durable with one sync of it, and reach the database later."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import request
from hypothesis import given
from hypothesis import strategies as st
from journals import (
    COMMIT_ID,
    abandon,
    fill_redo_log,
    keeping,
    open_redo_log,
    opened,
    picture_of,
    quick_engine,
    set_sync_result,
    submit,
)

from zmqruntime.execution import CommitFailed, JournalLifecycleEngine
from zmqruntime.execution.journal import redo_log
from zmqruntime.execution.journal.journal_file import JournalFile
from zmqruntime.execution.journal.redo_format import StartEntry
from zmqruntime.execution.journal.redo_log import RedoLog, read_redo_log
from zmqruntime.messages import SEQUENCE_GAP, ExecutionStatus

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


class Disk:
    """An engine with a count of its transactions and of the syncs of its redo log."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.engine = quick_engine(path, **options)
        self.engine.commit()
        self.written = self.synced = 0
        write = self.engine._file.write

        def count(changes: Any, **options: Any) -> None:
            write(changes, **options)
            self.written += 1

        def sync() -> bool:
            self.synced += 1
            return True

        self.engine._file.write = count  # type: ignore[method-assign]
        vars(self.engine._file.redo_log)["sync"] = sync

    def submit(self, name: str, **fields: Any) -> None:
        self.engine.submit(request(name, **fields), 1.0)

    def run(self, name: str, result: bytes = b"1", during: Callable[[], object] = int) -> None:
        """Submit, start and finish an execution, and commit."""
        self.submit(name)
        self.engine.start(name, 2.0)
        during()
        self.engine.finish(name, COMPLETE, 3.0, result=result)
        assert self.engine.uncommitted
        self.engine.commit()
        assert not self.engine.uncommitted

    def die(self) -> None:
        """Release the files as a killed process does."""
        abandon(self.engine)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def disk(path: Path) -> Disk:
    return Disk(path)


def test_results_in_the_redo_log_alone_survive_a_kill(disk: Disk, path: Path) -> None:
    disk.run("a", b'{"n":[1,2]}')
    disk.run("b")
    assert (disk.written, disk.synced) == (0, 2)
    before = picture_of(disk.engine, ["a", "b"])
    disk.die()
    with opened(path) as engine:
        assert picture_of(engine, ["a", "b"]) == before
    with opened(path) as engine:  # Now from the database.
        assert picture_of(engine, ["a", "b"]) == before


def test_end_of_an_execution_in_the_database_is_logged(disk: Disk, path: Path) -> None:
    disk.submit("a", labels={"l": "x"})
    disk.engine.commit()
    assert (disk.written, disk.synced) == (1, 0)
    disk.engine.start("a", 2.0)
    disk.engine.commit()
    disk.engine.finish("a", COMPLETE, 3.0, result=b"1")
    disk.engine.commit()
    assert (disk.written, disk.synced) == (1, 2)
    before = picture_of(disk.engine, ["a"])
    disk.die()
    with opened(path) as engine:
        assert picture_of(engine, ["a"]) == before


def test_catch_up_writes_logged_changes_to_the_database(disk: Disk, path: Path) -> None:
    disk.run("a")
    assert disk.engine.lags
    disk.engine.catch_up()
    assert disk.engine.uncommitted
    disk.engine.commit()
    assert not disk.engine.lags
    assert disk.written == 1
    disk.engine.catch_up()
    assert not disk.engine.uncommitted
    disk.die()
    with opened(path) as engine:
        assert engine.get("a").status is COMPLETE


def test_order_of_ends_survives_a_kill(path: Path) -> None:
    disk = Disk(path, **keeping(3))
    for name in ("a", "b", "c"):
        disk.submit(name)
        disk.engine.start(name, 2.0)
    for name in ("c", "a", "b"):
        disk.engine.finish(name, COMPLETE, 3.0)
        disk.engine.commit()
    assert disk.written == 0
    disk.die()
    with opened(path, **keeping(2)) as engine:
        assert engine.get("c") is None
        assert engine.get("a") is not None


def test_accepted_running_execution_is_recovered_from_the_redo_log(disk: Disk, path: Path) -> None:
    disk.submit("a")
    disk.engine.start("a", 2.0)
    disk.engine.commit()
    assert disk.written == 0
    sequence = disk.engine.get("a").sequence  # type: ignore[union-attr]
    disk.die()
    with opened(path) as engine:
        (running,) = engine.list_running()
        assert (running.execution_id, running.sequence) == ("a", sequence + SEQUENCE_GAP)


def test_accepted_execution_is_not_rolled_back_when_the_next_server_cannot_write(
    disk: Disk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.submit("a")
    disk.engine.start("a", 2.0)
    disk.engine.commit()
    disk.die()

    def fail(file: object, changes: object, **options: Any) -> None:
        raise CommitFailed("no room")

    with monkeypatch.context() as full:
        full.setattr(JournalFile, "write", fail)
        engine = quick_engine(path)
        with pytest.raises(CommitFailed):
            engine.commit()
        assert not engine.available
    assert engine.rollback() == []
    assert engine.get("a") is not None
    engine.close()


def cancel(disk: Disk) -> None:
    disk.engine.request_cancel("a")


def report_progress(disk: Disk) -> None:
    disk.engine.keep_progress("a", [b'{"completed":1}'], 2.5)


def submit_another(disk: Disk) -> None:
    disk.submit("z")


@pytest.mark.parametrize("during", [cancel, report_progress, submit_another])
def test_change_other_than_a_short_task_needs_a_transaction(
    disk: Disk, path: Path, during: Callable[[Disk], None]
) -> None:
    disk.run("a", during=lambda: during(disk))
    assert (disk.written, disk.synced) == (1, 0)
    before = picture_of(disk.engine, ["a", "z"])
    disk.die()
    with opened(path) as engine:
        assert picture_of(engine, ["a", "z"]) == before


@pytest.mark.parametrize("status", [FAILED, CANCELLED])
def test_failed_or_cancelled_end_needs_a_transaction(disk: Disk, status: ExecutionStatus) -> None:
    disk.submit("a")
    disk.engine.start("a", 2.0)
    disk.engine.finish("a", status, 3.0)
    disk.engine.commit()
    assert (disk.written, disk.synced) == (1, 0)


def test_long_result_needs_a_transaction(disk: Disk, path: Path) -> None:
    result = b'"%b"' % (b"x" * 5000)
    disk.run("a", result)
    assert (disk.written, disk.synced) == (1, 0)
    disk.die()
    with opened(path) as engine:
        assert engine.get("a").result == result


def test_result_with_a_newline_needs_a_transaction(disk: Disk, path: Path) -> None:
    disk.run("a", b"[1,\n2]")
    disk.run("b")
    disk.die()
    with opened(path) as engine:
        assert engine.get("a").result == b"[1,\n2]"
        assert engine.get("b").status is COMPLETE


def test_second_attempt_waits_for_a_transaction_with_the_first(disk: Disk, path: Path) -> None:
    disk.submit("a")
    disk.engine.start("a", 2.0)
    disk.engine.commit()
    disk.engine.requeue("a")
    disk.engine.start("a", 3.0)
    assert not disk.engine.is_committed("a")
    disk.engine.commit()
    assert disk.engine.is_committed("a")
    assert disk.written == 1
    disk.die()
    with opened(path) as engine:
        (running,) = engine.list_running()
        assert (running.execution_id, running.started_at) == ("a", 3.0)


def test_tickets_continue_behind_those_of_the_redo_log(path: Path) -> None:
    disk = Disk(path)
    disk.submit("low")
    disk.submit("high", priority=3)
    for name in ("high", "low"):
        disk.engine.start(name, 2.0)
    disk.die()
    disk = Disk(path)
    disk.run("new")
    disk.engine.catch_up()
    disk.engine.commit()
    disk.die()
    with opened(path) as engine:
        assert [engine.get(name) is not None for name in ("low", "high", "new")] == [True] * 3


def test_full_redo_log_is_followed_by_a_transaction_and_reset(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo_log, "_FILE_BYTES", 2**14)
    disk = Disk(path)
    names = [f"task-{number}" for number in range(200)]
    for name in names:
        disk.run(name)
    assert 2 <= disk.written <= 50
    before = picture_of(disk.engine, names)
    disk.die()
    with opened(path) as engine:
        assert picture_of(engine, names) == before


def test_failed_sync_of_the_redo_log_is_followed_by_a_transaction(disk: Disk, path: Path) -> None:
    set_sync_result(disk.engine, works=False)
    disk.run("a")
    assert disk.written == 1
    disk.die()
    with opened(path) as engine:
        assert engine.get("a").status is COMPLETE


def test_reused_id_waits_until_the_eviction_of_the_first_execution_is_committed(
    path: Path,
) -> None:
    disk = Disk(path, **keeping(1))
    disk.run("a")
    disk.engine.catch_up()
    disk.engine.commit()
    disk.run("b")  # This evicts "a", which the database still has.
    assert disk.written == 1
    disk.submit("a")
    disk.engine.start("a", 5.0)
    assert not disk.engine.is_committed("a")
    disk.die()
    with opened(path, **keeping(1)) as engine:
        assert engine.get("a") is None or engine.get("a").status is COMPLETE
    disk = Disk(path, **keeping(1))
    disk.run("b2")
    disk.submit("a")
    disk.engine.start("a", 5.0)
    disk.engine.commit()
    assert disk.engine.is_committed("a")
    disk.die()
    with opened(path, **keeping(1)) as engine:
        (running,) = engine.list_running()
        assert (running.execution_id, running.started_at) == ("a", 5.0)


@pytest.mark.parametrize("status", [COMPLETE, CANCELLED])
@pytest.mark.parametrize("began", [False, True])
@pytest.mark.parametrize("history_limit", [0, 1])
def test_execution_that_is_evicted_at_its_end_is_not_restored_from_the_database(
    path: Path, status: ExecutionStatus, began: bool, history_limit: int
) -> None:
    options: Any = keeping(history_limit) if history_limit else {"history_limit": 0}
    disk = Disk(path, **options)
    disk.submit("a")
    disk.submit("b")
    disk.engine.commit()
    if began or status is COMPLETE:
        disk.engine.start("a", 2.0)
        disk.engine.catch_up()
        disk.engine.commit()
    disk.engine.start("b", 2.0)
    disk.engine.commit()
    disk.engine.finish("a", status, 3.0)
    disk.engine.finish("b", COMPLETE, 3.0, result=b"1")
    assert disk.engine.uncommitted
    disk.engine.commit()
    disk.die()
    with opened(path, **options) as engine:
        assert engine.get("a") is None
        assert engine.list_running() == []


def test_execution_that_is_evicted_at_its_end_is_not_restored_from_the_redo_log(path: Path) -> None:
    disk = Disk(path, history_limit=0)
    disk.submit("a")
    disk.engine.start("a", 2.0)
    disk.engine.finish("a", COMPLETE, 3.0)
    disk.engine.commit()
    disk.die()
    with opened(path) as engine:
        assert engine.get("a") is None
        assert engine.list_running() == []


def test_idle_journal_does_not_lag(path: Path) -> None:
    engine = JournalLifecycleEngine(path)
    assert not engine.lags
    assert not engine.uncommitted
    engine.close()
    assert not path.with_name("journal.started").exists()


# -- the file -------------------------------------------------------------------------------


def test_truncated_redo_entry_is_ignored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = quick_engine(path)
    submit(engine, "a")
    engine.commit()
    write = redo_log._write_at
    monkeypatch.setattr(redo_log, "_write_at", lambda file, at, line: write(file, at, line[:-10]))
    engine.start("a", 2.0)
    monkeypatch.undo()
    assert not engine.is_committed("a")
    abandon(engine)
    with opened(path) as engine:
        assert engine.list_running() == []


def test_full_redo_log_has_room_for_reverts(path: Path) -> None:
    file = open_redo_log(path)
    for content in (b"x" * 1000, b""):  # Short entries fill the rest.
        while file.append(StartEntry(1, 1, 1.0, 2.0, content)):
            pass
    for ticket in range(100):
        file.append_revert(ticket)
    found = read_redo_log(path)
    file.close(delete=True)
    assert found is not None
    assert found.entries == []


def test_failed_revert_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path) as engine:
        submit(engine, "a")
        engine.start("a", 2.0)
        fill_redo_log(engine)
        engine.rollback()
    (record,) = caplog.records
    assert "recovers an execution that was refused (ticket 0)" in record.getMessage()


def test_redo_log_works_without_pwrite(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pwrite", raising=False)  # As on Windows.
    engine = quick_engine(path)
    submit(engine, "a", "b")
    engine.start("a", 2.0)
    engine.start("b", 3.0)
    abandon(engine)
    with opened(path) as engine:
        assert [e.execution_id for e in engine.list_running()] == ["a", "b"]
        assert engine.get("b").started_at == 3.0


def test_damage_of_the_last_synced_entry_is_reported(path: Path) -> None:
    log = open_redo_log(path)
    for ticket in range(40):
        assert log.append(StartEntry(ticket, 1, 1.0, 2.0, b""))
    assert log.sync()
    log.close(delete=False)
    intact = read_redo_log(path)
    content = bytearray(path.read_bytes())
    assert intact is not None
    content[intact.end - 2] ^= 1
    path.write_bytes(content)

    found = read_redo_log(path)

    assert intact.end == log._end
    assert found is not None
    assert len(found.entries) == 39
    assert found.damage == f"{path.name} is damaged at byte {found.end}"


@given(
    st.lists(st.binary(max_size=200).map(lambda b: b.replace(b"\n", b" ")), max_size=8),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=40),
    st.booleans(),
)
def test_damage_of_a_redo_log_is_reported_unless_all_entries_are_intact(
    requests: list[bytes], at: int, rubbish: bytes, synced: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "redo-log")
        file = open_redo_log(path)
        made = [StartEntry(n, 1, 1.5, 2.25, request) for n, request in enumerate(requests)]
        assert all(file.append(entry) for entry in made)
        if synced:
            assert file.sync()
        end = file._end
        file.close(delete=False)
        content = bytearray(path.read_bytes())
        content[at : at + len(rubbish)] = rubbish
        path.write_bytes(content)
        try:
            found = read_redo_log(path)
        except ValueError:  # Damaged at its beginning.
            return
        assert found is not None
        if found.entries != made:
            assert found.entries == made[: len(found.entries)]
            assert (found.damage if synced else found.damage or found.torn) is not None
        elif at > end + 20:
            assert (found.damage, found.torn) == (None, None)


def test_redo_log_that_has_no_room_on_the_disk_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors: list[int] = []

    def write_nothing(descriptor: int, content: bytes) -> int:
        descriptors.append(descriptor)
        return 0

    with monkeypatch.context() as full:
        full.setattr(os, "write", write_nothing)
        with pytest.raises(OSError, match=f"no room on the disk for {2**17} bytes in"):
            RedoLog(path, COMMIT_ID).open()
    (descriptor,) = descriptors
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.fixture
def new_log(path: Path) -> Iterator[RedoLog]:
    file = open_redo_log(path)
    yield file
    file.close(delete=True)


def test_sync_syncs_the_file_of_the_redo_log(
    new_log: RedoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(redo_log, "_sync", synced.append)
    assert new_log.sync()
    assert synced == [new_log._file]


def refuse(*_: object) -> None:
    raise OSError("no")


def test_sync_returns_false_when_the_disk_fails(
    new_log: RedoLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo_log, "_sync", refuse)
    assert not new_log.sync()


def test_redo_log_is_not_synced_when_its_directory_cannot_be(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo_log, "_sync_directory", refuse)
    engine = JournalLifecycleEngine(path)
    assert not engine._file.redo_log.sync()
    engine.submit(request("a"), 1.0)
    engine.start("a", 2.0)
    engine.finish("a", COMPLETE, 3.0, result=b"1")
    engine.commit()
    engine.close()
    with opened(path) as engine:
        assert engine.get("a").status is COMPLETE


def test_journal_is_released_when_its_redo_log_cannot_be_deleted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse_redo_log(file: Path, *args: Any, **options: Any) -> None:
        if file.suffix == ".started":  # As on Windows while a virus scanner has it open.
            raise PermissionError(file)
        unlink(file, *args, **options)

    engine = JournalLifecycleEngine(path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse_redo_log)
        engine.close()
    JournalLifecycleEngine(path).close()
