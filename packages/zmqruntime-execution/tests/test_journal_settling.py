"""What a short task does is on disk as notes beside a journal, and a second later in there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import request
from journals import keeping, let_sync, note_file, opened, picture_of, quick_engine

from zmqruntime.execution import CommitFailed, JournalLifecycleEngine
from zmqruntime.execution.journal import redo_log
from zmqruntime.execution.journal.file import JournalFile
from zmqruntime.execution.journal.redo_log import NoteFile
from zmqruntime.messages import SEQUENCE_GAP, ExecutionStatus

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


class Disk:
    """An engine on a journal, of which it is known what it makes sure of, and how."""

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
        vars(self.engine._file.notes)["sync"] = sync

    def submit(self, name: str, **fields: Any) -> None:
        self.engine.submit(request(name, **fields), 1.0)

    def run(self, name: str, result: bytes = b"1", during: Callable[[], object] = int) -> None:
        """Have a task submitted, begun and returned, and make sure of it."""
        self.submit(name)
        self.engine.start(name, 2.0)
        during()
        self.engine.finish(name, COMPLETE, 3.0, result=result)
        assert self.engine.uncommitted
        self.engine.commit()
        assert not self.engine.uncommitted

    def die(self) -> None:
        """As by a kill."""
        self.engine._file._database.close()
        self.engine._file._held_journal.release()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def disk(path: Path) -> Disk:
    return Disk(path)


def test_what_has_returned_is_known_to_the_next_server_before_it_is_written(
    disk: Disk, path: Path
) -> None:
    disk.run("a", b'{"n":[1,2]}')
    disk.run("b")
    assert (disk.written, disk.synced) == (0, 2)
    before = picture_of(disk.engine, ["a", "b"])
    disk.die()
    with opened(path) as engine:
        assert picture_of(engine, ["a", "b"]) == before
    with opened(path) as engine:  # Now it is written.
        assert picture_of(engine, ["a", "b"]) == before


def test_the_end_of_what_was_submitted_before_is_noted_as_well(disk: Disk, path: Path) -> None:
    disk.submit("a", labels={"who": "me"})
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


def test_what_lags_is_written_when_its_second_is_over(disk: Disk, path: Path) -> None:
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


def test_those_who_ended_first_leave_history_first_over_a_kill(path: Path) -> None:
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


def test_what_runs_and_was_accepted_goes_on_in_the_next_server(disk: Disk, path: Path) -> None:
    disk.submit("a")
    disk.engine.start("a", 2.0)
    disk.engine.commit()
    assert disk.written == 0
    sequence = disk.engine.get("a").sequence  # type: ignore[union-attr]
    disk.die()
    with opened(path) as engine:
        (running,) = engine.list_running()
        assert (running.execution_id, running.sequence) == ("a", sequence + SEQUENCE_GAP)


def test_what_was_accepted_is_not_taken_back_where_the_next_server_cannot_write(
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


def stop(disk: Disk) -> None:
    disk.engine.request_cancel("a")


def tell(disk: Disk) -> None:
    disk.engine.keep_progress("a", [b'{"completed":1}'], 2.5)


def submit_another(disk: Disk) -> None:
    disk.submit("z")


@pytest.mark.parametrize("during", [stop, tell, submit_another])
def test_what_notes_cannot_tell_is_written(
    disk: Disk, path: Path, during: Callable[[Disk], None]
) -> None:
    disk.run("a", during=lambda: during(disk))
    assert (disk.written, disk.synced) == (1, 0)
    before = picture_of(disk.engine, ["a", "z"])
    disk.die()
    with opened(path) as engine:
        assert picture_of(engine, ["a", "z"]) == before


@pytest.mark.parametrize("status", [FAILED, CANCELLED])
def test_only_what_has_returned_is_noted(disk: Disk, status: ExecutionStatus) -> None:
    disk.submit("a")
    disk.engine.start("a", 2.0)
    disk.engine.finish("a", status, 3.0)
    disk.engine.commit()
    assert (disk.written, disk.synced) == (1, 0)


def test_a_long_result_is_written(disk: Disk, path: Path) -> None:
    result = b'"%b"' % (b"x" * 5000)
    disk.run("a", result)
    assert (disk.written, disk.synced) == (1, 0)
    disk.die()
    with opened(path) as engine:
        assert engine.get("a").result == result


def test_a_result_that_would_end_its_line_is_written(disk: Disk, path: Path) -> None:
    disk.run("a", b"[1,\n2]")
    disk.run("b")
    disk.die()
    with opened(path) as engine:
        assert engine.get("a").result == b"[1,\n2]"
        assert engine.get("b").status is COMPLETE


def test_an_attempt_behind_an_unwritten_one_waits_until_that_is_written(
    disk: Disk, path: Path
) -> None:
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


def test_who_has_come_behind_those_that_were_noted_gets_a_ticket_of_his_own(path: Path) -> None:
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


def test_a_full_file_of_notes_has_them_written_and_begins_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo_log, "_ROOM_BYTES", 2**14)
    disk = Disk(path)
    names = [f"task-{number}" for number in range(200)]
    for name in names:
        disk.run(name)
    assert 2 <= disk.written <= 50
    before = picture_of(disk.engine, names)
    disk.die()
    with opened(path) as engine:
        assert picture_of(engine, names) == before


def test_where_notes_do_not_get_to_the_disk_the_journal_is_written(disk: Disk, path: Path) -> None:
    let_sync(disk.engine, works=False)
    disk.run("a")
    assert disk.written == 1
    disk.die()
    with opened(path) as engine:
        assert engine.get("a").status is COMPLETE


def test_a_name_that_has_left_history_may_come_again_before_that_is_written(path: Path) -> None:
    disk = Disk(path, **keeping(1))
    disk.run("a")
    disk.engine.catch_up()
    disk.engine.commit()
    disk.run("b")  # This drops the first one, which the journal still has.
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
def test_what_was_written_and_is_dropped_with_its_end_does_not_come_back(
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


def test_what_is_dropped_as_it_ends_does_not_come_back(path: Path) -> None:
    disk = Disk(path, history_limit=0)
    disk.submit("a")
    disk.engine.start("a", 2.0)
    disk.engine.finish("a", COMPLETE, 3.0)
    disk.engine.commit()
    disk.die()
    with opened(path) as engine:
        assert engine.get("a") is None
        assert engine.list_running() == []


def test_an_idle_journal_lags_behind_nothing(path: Path) -> None:
    engine = JournalLifecycleEngine(path)
    assert not engine.lags
    assert not engine.uncommitted
    engine.close()
    assert not path.with_name("journal.started").exists()


# -- the disk ---------------------------------------------------------------------------------


@pytest.fixture
def notes(path: Path) -> Iterator[NoteFile]:
    file = note_file(path)
    yield file
    file.close(forget=True)


def test_notes_are_synced_as_a_file(notes: NoteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(redo_log, "_sync", synced.append)
    assert notes.sync()
    assert synced == [notes._file]


def refuse(*_: object) -> None:
    raise OSError("no")


def test_a_sync_that_fails_is_told(notes: NoteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redo_log, "_sync", refuse)
    assert not notes.sync()


def test_where_directories_cannot_be_synced_notes_are_none_and_the_journal_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo_log, "_sync_directory", refuse)
    engine = JournalLifecycleEngine(path)
    assert not engine._file.notes.sync()
    engine.submit(request("a"), 1.0)
    engine.start("a", 2.0)
    engine.finish("a", COMPLETE, 3.0, result=b"1")
    engine.commit()
    engine.close()
    with opened(path) as engine:
        assert engine.get("a").status is COMPLETE


def test_notes_that_cannot_be_removed_do_not_keep_the_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse_notes(file: Path, *args: Any, **options: Any) -> None:
        if file.suffix == ".started":  # As a virus scanner does on Windows.
            raise PermissionError(file)
        unlink(file, *args, **options)

    engine = JournalLifecycleEngine(path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse_notes)
        engine.close()
    JournalLifecycleEngine(path).close()
