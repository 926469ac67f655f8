"""The orphan worker of a crashed server is killed, and no other process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from talking import Talker

from zmqruntime.execution import ExecutionClient, ExecutionServerLauncher
from zmqruntime.execution.worker.parent.orphan import WorkerPidFile
from zmqruntime.transport import ProcessIdentity, ZMQConfig

MARK = f"zmqruntime-worker-{'5' * 32}"
OTHER_MARK = f"zmqruntime-worker-{'6' * 32}"
STRANGER = 65534
PATIENCE = 60.0

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no owners and modes")
root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as another user"
)


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", MARK], stdin=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def dead() -> ProcessIdentity:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as process:
        return ProcessIdentity.of(process.pid)


def pid_file_at(
    journal: Path, server: ProcessIdentity, worker: ProcessIdentity, mark: str = MARK
) -> WorkerPidFile:
    path = journal.with_name("a.journal.worker")
    path.write_text(f"{server} {worker} {mark}")
    path.chmod(0o600)
    return WorkerPidFile(journal)


def test_worker_of_a_server_that_has_exited_is_killed(
    tmp_path: Path, worker: subprocess.Popen[bytes], dead: ProcessIdentity
) -> None:
    pid_file_at(tmp_path / "a.journal", dead, ProcessIdentity.of(worker.pid)).kill_orphan()
    assert worker.poll() is not None


def test_worker_of_a_running_server_is_not_killed(
    tmp_path: Path, worker: subprocess.Popen[bytes]
) -> None:
    pid_file = WorkerPidFile(tmp_path / "a.journal")
    pid_file.write(ProcessIdentity.of(worker.pid), MARK)
    pid_file.kill_orphan()
    assert worker.poll() is None
    pid_file.remove()
    assert list(tmp_path.iterdir()) == []


def test_process_with_a_reused_pid_is_not_killed(
    tmp_path: Path, worker: subprocess.Popen[bytes], dead: ProcessIdentity
) -> None:
    before = ProcessIdentity(worker.pid, ProcessIdentity.of(worker.pid).create_time - 60)
    pid_file_at(tmp_path / "a.journal", dead, before).kill_orphan()
    assert worker.poll() is None


@pytest.mark.parametrize("mark", [OTHER_MARK, "-c", sys.executable, "zmqruntime-worker-"])
def test_process_without_the_mark_of_the_pid_file_is_not_killed(
    tmp_path: Path,
    worker: subprocess.Popen[bytes],
    dead: ProcessIdentity,
    mark: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pid_file_at(tmp_path / "a.journal", dead, ProcessIdentity.of(worker.pid), mark).kill_orphan()
    assert worker.poll() is None
    assert f"process {worker.pid} in " in caplog.text
    assert "is not a worker of this journal and is not killed" in caplog.text


def link(path: Path) -> None:
    path.rename(path.with_name("other"))
    path.symlink_to(path.with_name("other"))


def link_hard(path: Path) -> None:
    path.with_name("other").hardlink_to(path)


def open_to_others(path: Path) -> None:
    path.chmod(0o666)


@posix
@pytest.mark.parametrize("spoil", [link, link_hard, open_to_others])
def test_pid_file_that_another_user_may_have_written_is_ignored(
    tmp_path: Path,
    worker: subprocess.Popen[bytes],
    dead: ProcessIdentity,
    spoil: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pid_file = pid_file_at(tmp_path / "a.journal", dead, ProcessIdentity.of(worker.pid))
    spoil(tmp_path / "a.journal.worker")
    before = (tmp_path / "a.journal.worker").read_text()
    pid_file.kill_orphan()
    assert worker.poll() is None
    assert "worker PID file ignored" in caplog.text
    pid_file.write(ProcessIdentity.of(worker.pid), MARK)
    assert "will not be found" in caplog.text
    assert (tmp_path / "a.journal.worker").read_text() == before


@root
def test_pid_file_of_another_user_is_ignored(
    tmp_path: Path, worker: subprocess.Popen[bytes], dead: ProcessIdentity
) -> None:
    pid_file = pid_file_at(tmp_path / "a.journal", dead, ProcessIdentity.of(worker.pid))
    os.chown(tmp_path / "a.journal.worker", STRANGER, STRANGER)
    pid_file.kill_orphan()
    assert worker.poll() is None


@pytest.mark.parametrize(
    "words", ["", "1:2", "1:2 3:4", "1:2 3 x", "no process at", "1:2 3:4 x 5:6", "é", "1:2 " * 999]
)
def test_invalid_pid_file_is_ignored(tmp_path: Path, words: str) -> None:
    (tmp_path / "a.journal.worker").write_text(words, "utf-8")
    WorkerPidFile(tmp_path / "a.journal").kill_orphan()


def test_pid_file_that_cannot_be_written_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pid_file = WorkerPidFile(tmp_path / "nowhere" / "a.journal")
    pid_file.write(ProcessIdentity.current(), MARK)
    assert "will not be found" in caplog.text
    pid_file.remove()
    pid_file.kill_orphan()
    WorkerPidFile(None).kill_orphan()


@posix
def test_orphan_of_a_killed_server_is_killed_by_the_next_server_of_its_journal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with tempfile.TemporaryDirectory(prefix="zo-", dir="/tmp") as name:
        home = Path(name)
        config = ZMQConfig(runtime_dir=home / "run", log_dir=home / "logs")
        launcher = ExecutionServerLauncher(Talker, journal=home / "a.journal")
        with ExecutionClient(21_500, config=config, launcher=launcher) as client:
            client.submit_execution({"hold": str(home / "holds")})
            pong = client.ping()
            (orphan,) = (psutil.Process(worker.pid) for worker in pong.workers)
            while not (home / "holds").exists():
                assert orphan.is_running()
            server = psutil.Process(pong.process.pid)
            server.kill()
            server.wait(PATIENCE)
        with Talker(21_501, config=config, journal=home / "a.journal"):
            orphan.wait(PATIENCE)
        assert f"killing orphan worker process {orphan.pid}" in caplog.text
