"""Every file of a session is private, and a server refuses a planted one."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from talking import Talker

from zmqruntime.execution import ExecutionClient, ExecutionServerLauncher
from zmqruntime.execution.errors import JournalUnusable
from zmqruntime.execution.journal.durable_engine import JournalLifecycleEngine
from zmqruntime.execution.journal.preflight import check_journal_dir
from zmqruntime.messages import ExecuteRequest, ProgressEvent
from zmqruntime.transport import ZMQConfig
from zmqruntime.transport.lowlevel import make_private_dir

PATIENCE = 60.0
STRANGER = 65534

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid"), reason="Windows has no owners and modes"
)
root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as another user"
)


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="zm-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=[0o000, 0o777], ids=["umask-000", "umask-777"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes_below(directory: Path) -> dict[str, int]:
    return {
        str(path.relative_to(directory)): stat.S_IMODE(path.lstat().st_mode)
        for path in directory.rglob("*")
    }


def test_every_file_of_a_session_has_mode_0600_whatever_the_umask(home: Path, umask: int) -> None:
    data = home / "data"
    make_private_dir(data, "journal")
    config = ZMQConfig(runtime_dir=home / "run", log_dir=home / "logs")
    launcher = ExecutionServerLauncher(Talker, journal=data / "a.journal")
    gate = home / "gate"
    with ExecutionClient(21_400, config=config, launcher=launcher) as client:
        client.submit_execution({"say": "hello"}).result(PATIENCE)
        handle = client.submit_execution({"say": "hello", "gate": str(gate)})
        for event in handle.progress():
            if isinstance(event, ProgressEvent) and event.phase == "waits":
                break
        found = modes_below(home)
        gate.touch()
        handle.result(PATIENCE)
        found |= modes_below(home)
        client.shutdown_server(timeout=PATIENCE)
    found |= modes_below(home)
    del found["gate"]
    assert {name: oct(mode) for name, mode in found.items() if mode not in (0o600, 0o700)} == {}
    directories = {name for name, mode in found.items() if mode == 0o700}
    assert all((home / name).is_dir() or name.endswith(".tasks") for name in directories)
    suffixes = {Path(name).suffix for name in found}
    assert suffixes >= {".sock", ".w", ".lock", ".log", ".live", ".journal", ".started", ".worker"}
    assert "data/a.journal-wal" in found


# -- journals ---------------------------------------------------------------------------------


def plant_link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def plant_hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def plant_copy_that_others_can_write(path: Path, target: Path) -> None:
    path.write_bytes(target.read_bytes())
    path.chmod(0o666)


Plant = Callable[[Path, Path], None]


@pytest.mark.parametrize(
    "suffix", ["-wal", "-shm", "-journal", ".new", ".started", ".worker", ".owner", ".lock"]
)
@pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_copy_that_others_can_write])
def test_planted_file_beside_a_journal_is_refused_and_left_as_it_is(
    tmp_path: Path, plant: Plant, suffix: str
) -> None:
    target, journal = tmp_path / "precious", tmp_path / "a.journal"
    target.write_bytes(b"precious")
    JournalLifecycleEngine(journal).close()
    planted = tmp_path / f"a.journal{suffix}"
    plant(planted, target)
    with pytest.raises(JournalUnusable, match=f"{planted} (is|has|can) "):
        JournalLifecycleEngine(journal)
    assert target.read_bytes() == planted.read_bytes() == b"precious"


@pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_copy_that_others_can_write])
def test_planted_journal_is_refused_and_left_as_it_is(tmp_path: Path, plant: Plant) -> None:
    other, journal = tmp_path / "other.journal", tmp_path / "a.journal"
    JournalLifecycleEngine(other).close()
    plant(journal, other)
    before = other.read_bytes()
    with pytest.raises(JournalUnusable, match=f"{journal} (is|has|can) "):
        JournalLifecycleEngine(journal)
    assert other.read_bytes() == journal.read_bytes() == before


@root
def test_journal_of_another_user_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    JournalLifecycleEngine(journal).close()
    os.chown(journal, STRANGER, STRANGER)
    with pytest.raises(JournalUnusable, match="belongs to user 65534"):
        JournalLifecycleEngine(journal)


def test_journal_that_others_could_only_read_becomes_private(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    JournalLifecycleEngine(journal).close()
    journal.chmod(0o644)
    JournalLifecycleEngine(journal).close()
    assert modes_below(tmp_path)["a.journal"] == 0o600


def test_server_refuses_a_journal_in_a_directory_that_others_can_write(home: Path) -> None:
    config = ZMQConfig(runtime_dir=home / "run", log_dir=home / "logs")
    shared = home / "shared"
    (shared / "ours").mkdir(parents=True)
    shared.chmod(0o1777)
    with pytest.raises(JournalUnusable, match=f"{shared} can be written by every user"):
        Talker(21_401, config=config, journal=shared / "a.journal").start()
    assert [path.name for path in shared.iterdir()] == ["ours"]
    with Talker(21_401, config=config, journal=shared / "ours" / "a.journal"):
        assert (shared / "ours" / "a.journal").exists()  # The sticky bit protects it.
    shared.chmod(0o777)
    with pytest.raises(JournalUnusable, match=f"{shared} can be written by every user"):
        Talker(21_401, config=config, journal=shared / "ours" / "a.journal").start()


@root
def test_server_runs_no_task_of_a_planted_journal(home: Path) -> None:
    theirs = home / "theirs"
    theirs.mkdir()
    engine = JournalLifecycleEngine(theirs / "a.journal")
    engine.submit(ExecuteRequest(client_id="m", execution_id="evil", task={"say": "evil"}), 1.0)
    engine.commit()
    engine.close()
    config = ZMQConfig(runtime_dir=home / "run", log_dir=home / "logs")
    for path in (theirs / "a.journal", theirs):
        os.chown(path, STRANGER, STRANGER)
        with pytest.raises(JournalUnusable, match="belongs to user 65534"):
            Talker(21_402, config=config, journal=theirs / "a.journal").start()
    assert not (home / "logs").exists()


def test_missing_journal_directory_is_left_to_the_journal(tmp_path: Path) -> None:
    check_journal_dir(tmp_path / "missing" / "a.journal")
    (tmp_path / "file").touch()
    check_journal_dir(tmp_path / "file" / "missing" / "a.journal")
