"""A worker that outlived its server is ended; nothing else is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zmqruntime.execution.worker.leftover import WorkerNote
from zmqruntime.transport import ProcessIdentity


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def dead() -> ProcessIdentity:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        return ProcessIdentity.of(process.pid)


def note_at(journal: Path, server: ProcessIdentity, worker: ProcessIdentity) -> WorkerNote:
    journal.with_name("a.journal.worker").write_text(f"{server} {worker}")
    return WorkerNote(journal)


def test_the_worker_of_a_server_that_is_gone_is_ended(
    tmp_path: Path, worker: subprocess.Popen[bytes], dead: ProcessIdentity
) -> None:
    note_at(tmp_path / "a.journal", dead, ProcessIdentity.of(worker.pid)).end_leftover()
    assert worker.poll() is not None


def test_the_worker_of_a_server_that_runs_is_left(
    tmp_path: Path, worker: subprocess.Popen[bytes]
) -> None:
    note = WorkerNote(tmp_path / "a.journal")
    note.write(ProcessIdentity.of(worker.pid))
    note.end_leftover()
    assert worker.poll() is None
    note.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_process_with_the_same_pid_is_left(
    tmp_path: Path, worker: subprocess.Popen[bytes], dead: ProcessIdentity
) -> None:
    before = ProcessIdentity(worker.pid, ProcessIdentity.of(worker.pid).create_time - 60)
    note_at(tmp_path / "a.journal", dead, before).end_leftover()
    assert worker.poll() is None


@pytest.mark.parametrize("words", ["", "1:2", "1:2 3", "no process", "1:2 3:4 5:6"])
def test_a_note_that_says_nothing_ends_nothing(tmp_path: Path, words: str) -> None:
    (tmp_path / "a.journal.worker").write_text(words)
    WorkerNote(tmp_path / "a.journal").end_leftover()


def test_a_note_that_cannot_be_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    note = WorkerNote(tmp_path / "nowhere" / "a.journal")
    note.write(ProcessIdentity.current())
    assert "will not be found" in caplog.text
    note.remove()
    note.end_leftover()
    WorkerNote(None).end_leftover()
