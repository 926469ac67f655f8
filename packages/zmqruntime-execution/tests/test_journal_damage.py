"""Damaged journals: the error names what is lost, and a running server accepts nothing more."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from driving import request
from journals import opened, quick_engine, reboot

from zmqruntime.execution import (
    CommitFailed,
    JournalInUse,
    JournalLifecycleEngine,
    JournalUnusable,
)
from zmqruntime.execution.journal.boot_id import boot_id
from zmqruntime.execution.journal.commit_id import CommitId
from zmqruntime.messages import ExecutionStatus

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="an open file cannot be moved there"
)

FRAME = 4096 + 24


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "a.journal"


def submit(engine: JournalLifecycleEngine, *names: str) -> None:
    for name in names:
        engine.submit(request(name), 1.0)
        engine.commit()


def killed(path: Path, *names: str) -> Path:
    """Return the journal of a server that was killed after a commit for each name."""
    engine = quick_engine(path)
    submit(engine, *names)
    shutil.copytree(path.parent, left := path.parent.with_name("left"))
    engine.close()
    return left / path.name


def part(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


# -- under a running server -----------------------------------------------------------------------


def remove(file: Path) -> None:
    file.rename(file.with_name("moved"))


def replace(file: Path) -> None:
    shutil.copyfile(file, copy := file.with_name("copy"))
    remove(file)
    copy.rename(file)


def put_back(file: Path) -> None:
    file.with_name("moved").replace(file)


@posix_only
@pytest.mark.parametrize("suffix", ["", "-wal", ".started"])
@pytest.mark.parametrize("how", [remove, replace])
def test_commits_fail_while_a_file_is_moved_away(
    path: Path, suffix: str, how: Callable[[Path], None]
) -> None:
    engine = quick_engine(path)
    submit(engine, "kept")
    how(part(path, suffix))
    for name in ("lost", "lost-too"):
        engine.submit(request(name), 1.0)
        with pytest.raises(CommitFailed, match=r"is missing|was replaced by another file"):
            engine.commit()
        assert not engine.available
        assert [e.execution_id for e in engine.rollback()] == [name]
    put_back(part(path, suffix))
    submit(engine, "new")
    assert engine.available
    engine.close()
    with opened(path) as engine:
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["kept", "new"]


@posix_only
@pytest.mark.parametrize("suffix", ["", "-wal", ".started"])
def test_commit_into_a_truncated_file_fails(path: Path, suffix: str) -> None:
    engine = quick_engine(path)
    submit(engine, "kept")
    os.truncate(part(path, suffix), 100)
    engine.submit(request("lost"), 1.0)
    with pytest.raises(
        CommitFailed, match=r"truncated from \d+ to 100 bytes while the server runs"
    ):
        engine.commit()
    engine.rollback()
    with pytest.raises(CommitFailed):
        engine.close()


@posix_only
def test_commit_fails_when_the_directory_was_renamed(path: Path) -> None:
    engine = quick_engine(path)
    submit(engine, "kept")
    path.parent.rename(path.parent.with_name("renamed"))
    engine.submit(request("lost"), 1.0)
    with pytest.raises(CommitFailed, match="is missing"):
        engine.commit()
    engine.rollback()
    path.parent.with_name("renamed").rename(path.parent)
    engine.commit()
    engine.close()


@posix_only
def test_end_of_a_short_task_is_not_acknowledged_without_its_redo_log(path: Path) -> None:
    engine = quick_engine(path)
    engine.submit(request("a"), 1.0)
    engine.start("a", 2.0)
    engine.finish("a", ExecutionStatus.COMPLETE, 3.0, result=b"1")
    remove(part(path, ".started"))
    with pytest.raises(CommitFailed, match=r"a\.journal\.started is missing"):
        engine.commit()
    put_back(part(path, ".started"))
    engine.close()


# -- one server at a time -------------------------------------------------------------------------


@posix_only
def test_hard_link_to_an_open_journal_is_in_use(path: Path) -> None:
    link = path.with_name("link")
    with opened(path) as engine:
        os.link(path, link)
        with pytest.raises(JournalInUse):
            JournalLifecycleEngine(link)
        part(path, ".owner").unlink()  # The lock does not depend on it.
        with pytest.raises(JournalInUse):
            JournalLifecycleEngine(path)
        submit(engine, "a")


def test_refused_open_in_the_same_process_keeps_the_lock(path: Path) -> None:
    script = (
        "import sys\n"
        "from zmqruntime.execution import JournalInUse, JournalLifecycleEngine\n"
        "try: JournalLifecycleEngine(sys.argv[1])\n"
        "except JournalInUse: print('in use')\n"
    )
    with opened(path) as engine:
        with pytest.raises(JournalInUse):
            JournalLifecycleEngine(path)
        command = [sys.executable, "-c", script, str(path)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert result.stdout == "in use\n"
        submit(engine, "a")


@posix_only
def test_renamed_journal_is_refused_without_its_other_files(path: Path) -> None:
    left = killed(path, "a", "b")
    left.rename(left.with_name("other.journal"))
    with pytest.raises(JournalUnusable, match=r"other\.journal\.started, its redo log, is missing"):
        JournalLifecycleEngine(left.with_name("other.journal"))


# -- between two servers --------------------------------------------------------------------------


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("frame", [0, 3])
def test_error_of_a_flipped_bit_in_the_write_ahead_log_names_the_lost_commits(
    path: Path, frame: int
) -> None:
    left = killed(path, *"abcdef")
    log = part(left, "-wal")
    flip(log, 32 + frame * FRAME + 24 + 100)
    content = log.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalUnusable, match=r"commit \d, and the redo log follows commit 7"):
            JournalLifecycleEngine(left)
        assert log.read_bytes() == content  # Unchanged.


def test_error_of_a_flipped_bit_in_a_request_names_its_execution(path: Path) -> None:
    with opened(path) as engine:
        engine.submit(request("a", task={"needle": 1}), 1.0)
        engine.submit(request("b"), 1.0)
    flip(path, path.read_bytes().rindex(b"needle"))
    with pytest.raises(JournalUnusable, match=r"1 of 2 executions have a wrong checksum: 'a'"):
        JournalLifecycleEngine(path)


@pytest.mark.parametrize("column", ["attempt", "sequence", "submitted_at", "client_id", "ended"])
def test_changed_column_is_detected(path: Path, column: str) -> None:
    with opened(path) as engine:
        engine.submit(request("a"), 1.0)
    database = sqlite3.connect(path)
    database.execute(f"UPDATE executions SET {column} = 77")
    database.commit()
    database.close()
    with pytest.raises(JournalUnusable, match="1 of 1 executions have a wrong checksum: 'a'"):
        JournalLifecycleEngine(path)


@pytest.mark.parametrize("suffix", ["-wal", ".started", ""])
def test_missing_file_is_detected(path: Path, suffix: str) -> None:
    left = killed(path, "a", "b")
    part(left, suffix).unlink()
    with pytest.raises(JournalUnusable, match=r"follows commit|is missing"):
        JournalLifecycleEngine(left)


def test_redo_log_of_an_earlier_commit_is_an_error_in_the_same_boot_and_a_warning_in_another(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = quick_engine(path)
    submit(engine, "a")
    older = part(path, ".started").read_bytes()
    submit(engine, "b")
    shutil.copytree(path.parent, left := path.parent.with_name("left"))
    engine.close()
    part(left / path.name, ".started").write_bytes(older)
    if boot_id() == boot_id.__wrapped__():
        with pytest.raises(JournalUnusable, match=r"\.started, its redo log, is an older copy"):
            JournalLifecycleEngine(left / path.name)
    reboot(monkeypatch)
    with caplog.at_level(logging.WARNING), opened(left / path.name) as engine:
        assert engine.get("b") is not None
    assert "After a power failure this is expected; otherwise it is an older copy" in caplog.text


def test_kill_between_a_commit_and_the_reset_of_the_redo_log_is_not_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = quick_engine(path)
    submit(engine, "a")
    monkeypatch.setattr(engine._file.redo_log, "reset", lambda commit_id: None)
    submit(engine, "b")
    shutil.copytree(path.parent, left := path.parent.with_name("left"))
    monkeypatch.undo()
    with caplog.at_level(logging.WARNING), opened(left / path.name) as engine:
        assert engine.get("b") is not None
    assert caplog.text == ""


def test_older_database_file_with_a_newer_write_ahead_log_is_detected(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqruntime.execution.journal.disk_space._PAGES_PER_CHECKPOINT", 1)
    engine = quick_engine(path)
    submit(engine, *(f"x{n}" for n in range(40)))
    older = path.read_bytes()
    submit(engine, *"ab")
    shutil.copytree(path.parent, left := path.parent.with_name("left"))
    engine.close()
    (left / path.name).write_bytes(older)
    with pytest.raises(JournalUnusable, match=r"its database file is an older copy, of commit \d+"):
        JournalLifecycleEngine(left / path.name)


def test_commit_id_survives_a_round_trip() -> None:
    commit_id = CommitId.new().next()
    assert CommitId.parse(str(commit_id)) == commit_id
    assert commit_id.next().commit == 2
    assert commit_id.reopened().next() != commit_id.next()


# -- read-only and full disks -------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes of POSIX")
@pytest.mark.parametrize("suffix", ["", "-wal", ".started", "directory"])
def test_read_only_journal_is_refused_also_for_root(path: Path, suffix: str) -> None:
    left = killed(path, "a")
    file = left.parent if suffix == "directory" else part(left, suffix)
    mode = file.stat().st_mode
    file.chmod(mode & 0o555)
    with pytest.raises(JournalUnusable, match=rf"{file.name}, .* is read-only \(mode 0"):
        JournalLifecycleEngine(left)
    file.chmod(mode)
    with opened(left) as engine:
        assert engine.get("a") is not None


def test_journal_on_a_full_disk_is_read_and_refuses_new_executions(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resource = pytest.importorskip("resource")
    left = killed(path, "a", "b")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # No file can grow.
    try:
        engine = quick_engine(left)
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["a", "b"]
        assert not engine.available
        engine.submit(request("c"), 1.0)
        with pytest.raises(CommitFailed):
            engine.commit()
        assert [e.execution_id for e in engine.rollback()] == ["c"]
        engine.finish("a", ExecutionStatus.CANCELLED, 2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    engine.commit()  # The disk has room again.
    assert engine.available
    engine.close()
    assert "No task is accepted or started until a commit succeeds" in caplog.text
    with opened(left) as engine:
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["b"]


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a file system, which takes root"
)
@pytest.mark.parametrize("left_bytes", [0, 4096, 65536])
def test_journal_on_a_full_file_system_is_read_and_drained(path: Path, left_bytes: int) -> None:
    left = killed(path, "a", "b")
    (disk := path.parent.with_name("disk")).mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        for file in left.parent.iterdir():
            shutil.copyfile(file, disk / file.name)
        fill(disk / "filler", left_bytes)
        engine = quick_engine(disk / left.name)
        assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["a", "b"]
        engine.submit(request("c", task={"x": "x" * 200_000}), 1.0)
        with pytest.raises(CommitFailed):
            engine.commit()
        assert [e.execution_id for e in engine.rollback()] == ["c"]
        engine.finish("a", ExecutionStatus.CANCELLED, 2.0)
        (disk / "filler").unlink()
        engine.commit()
        engine.close()
        with opened(disk / left.name) as engine:
            assert [e.execution_id for _, e in engine.list_queued(9).entries] == ["b"]
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(filler: Path, left_bytes: int) -> None:
    """Fill a small file system, except for ``left_bytes``."""
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - left_bytes))
