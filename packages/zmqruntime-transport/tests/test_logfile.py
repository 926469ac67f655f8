"""Log files: escaped records, private files, rotation."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transport_peers import PATIENCE_SECONDS

from zmqruntime.messages import printable
from zmqruntime.transport import Endpoint, LaunchFailed, SubprocessLauncher, ZMQClient, ZMQConfig
from zmqruntime.transport.process import lock_file, log_rotation
from zmqruntime.transport.process.log_rotation import (
    MAX_LOG_FILE_BYTES,
    ROTATED_LOG_FILES,
    rotate_log_file,
)
from zmqruntime.transport.process.logfile import LogFile, RecordFormatter
from zmqruntime.transport.process.private_files import open_log

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")

FORGED = "ended\n2026-01-01 00:00:00,000 INFO zmqruntime.server: forged"
SERVER = logging.getLogger("zmqruntime.server")


def make_record(message: str, *arguments: object, error: BaseException | None = None) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("lab", logging.INFO, __file__, 1, message, arguments, exc_info)
    return RecordFormatter().format(record)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[LogFile]:
    file = LogFile(str(tmp_path / "server.log"), max_bytes=1000, backups=2)
    yield file
    file.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# -- the format ------------------------------------------------------------------------------


@given(st.text(st.characters(), max_size=100))
def test_message_is_one_line_for_any_text(text: str) -> None:
    line = make_record("client %s", text)
    assert line.endswith(f" INFO lab: client {printable(text)}")
    assert line.splitlines() == [line]


@given(st.text(st.characters(), max_size=100))
def test_each_line_of_a_traceback_is_indented(text: str) -> None:
    first, *others = make_record("failed", error=ValueError(text)).split("\n")
    assert first.endswith(" INFO lab: failed")
    assert others
    for line in others:
        assert line.startswith("    ")
        assert line.splitlines() in ([line], [line.rstrip()])
        assert line.replace("\t", "").isprintable()


def test_traceback_of_another_formatter_is_not_used() -> None:
    error = ValueError(FORGED)
    record = logging.LogRecord(
        "lab", logging.INFO, "", 1, "failed", (), (ValueError, error, error.__traceback__)
    )
    logging.Formatter().format(record)
    assert "\n2026" in (record.exc_text or "")
    assert "\n2026" not in RecordFormatter().format(record)
    record.exc_info = None
    assert "\n    2026" in RecordFormatter().format(record)


def test_stack_is_indented_as_well() -> None:
    record = logging.LogRecord("lab", logging.INFO, "", 1, "here", (), None)
    record.stack_info = "Stack (most recent call last):\n\x1b"
    assert (
        RecordFormatter()
        .format(record)
        .endswith("here\n    Stack (most recent call last):\n    \\x1b")
    )


def test_line_breaks_of_a_message_stay_with_multiline() -> None:
    record = logging.LogRecord("lab", logging.INFO, "", 1, "a\n\x1b[2Jb", (), None)
    line = RecordFormatter("%(name)s %(message)s", multiline=True).format(record)
    assert line == "lab a\n    \\x1b[2Jb"


def test_long_record_is_shortened_in_its_middle() -> None:
    line = make_record("%s", "a" * 1_000_000 + "end")
    assert len(line) < 33_000
    assert " characters left out) ..." in line
    assert line.endswith("aend")


# -- the file --------------------------------------------------------------------------------


@posix
@pytest.mark.usefixtures("umask")
def test_log_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    for mask in (0, 0o022, 0o377):
        os.umask(mask)
        path = tmp_path / f"{mask}.log"
        LogFile(str(path)).close()
        os.close(open_log(tmp_path / f"{mask}"))
        assert (mode_of(path), mode_of(tmp_path / f"{mask}")) == (0o600, 0o600)


@posix
def test_existing_log_file_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.touch(0o644)
    LogFile(str(path)).close()
    assert mode_of(path) == 0o600


@posix
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_link_in_place_of_a_log_file_is_refused(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    foreign, path = tmp_path / "foreign", tmp_path / "server.log"
    foreign.write_text("precious")
    link(foreign, path)
    with pytest.raises(OSError, match=r"server\.log|hard link"):
        LogFile(str(path))
    assert foreign.read_text() == "precious"
    assert logging.getLogger("zmqruntime").handlers == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs a second user")
def test_log_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.touch(0o666)
    os.chown(path, 65534, 65534)
    with pytest.raises(PermissionError, match="belongs to user 65534"):
        LogFile(str(path))
    assert path.read_bytes() == b""


@posix
def test_link_to_a_device_is_a_valid_log_file(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(os.devnull)
    LogFile(str(tmp_path / "log")).close()


@posix
def test_device_keeps_its_mode() -> None:
    before = mode_of(Path(os.devnull))
    LogFile(os.devnull).close()
    assert mode_of(Path(os.devnull)) == before


def test_forged_records_stay_in_the_line_of_the_real_one(log_file: LogFile, tmp_path: Path) -> None:
    SERVER.info("execution %s", FORGED)
    (line,) = (tmp_path / "server.log").read_text().splitlines()
    assert line.endswith(r"ended\n2026-01-01 00:00:00,000 INFO zmqruntime.server: forged")


# -- rotation --------------------------------------------------------------------------------


def test_log_file_and_its_backups_are_bounded(log_file: LogFile, tmp_path: Path) -> None:
    for number in range(500):
        SERVER.info("line %d", number)
    names = ["server.log", "server.log.1", "server.log.2"]
    assert [name for name in names_in(tmp_path) if not name.endswith(".lock")] == names
    lines = [
        line for name in reversed(names) for line in (tmp_path / name).read_text().splitlines()
    ]
    newest = range(500 - len(lines), 500)
    assert [line.rpartition(" ")[2] for line in lines] == list(map(str, newest))  # No line is lost.
    for name in names:
        assert (tmp_path / name).stat().st_size <= 1100
        assert os.name == "nt" or mode_of(tmp_path / name) == 0o600


@posix
@pytest.mark.parametrize("renamed", [True, False])
def test_removed_log_file_is_replaced_when_it_is_long(
    log_file: LogFile, tmp_path: Path, renamed: bool
) -> None:
    path = tmp_path / "server.log"
    SERVER.info("first")
    if renamed:
        path.rename(tmp_path / "renamed.log")
    else:
        path.unlink()
    for number in range(100):
        SERVER.info("line %d", number)
    assert path.read_text().endswith("line 99\n")
    if renamed:
        assert (tmp_path / "renamed.log").stat().st_size < 1100


def test_output_to_the_log_file_is_rotated_with_it(tmp_path: Path) -> None:
    # The stdout of the process is the log file, as in a launched server.
    path = tmp_path / "server.log"
    code = (
        "import sys; from zmqruntime.transport.process.logfile import LogFile\n"
        f"log = LogFile({str(path)!r}, 1000, 1)\n"
        "assert log.takes_output\n"
        "for n in range(1000): print('line', n, flush=True); log.rotate_if_long()\n"
    )
    with path.open("ab") as output:
        subprocess.run([sys.executable, "-c", code], stdout=output, timeout=60, check=True)
    lines = (path.with_name("server.log.1").read_bytes() + path.read_bytes()).split()
    assert lines[-1] == b"999"
    assert b"\0" not in b"".join(lines)
    assert path.stat().st_size <= 1100


def test_output_to_another_file_is_not_rotated(
    log_file: LogFile,
) -> None:
    assert not log_file.takes_output


@pytest.mark.parametrize("backups", [0, 1, 3])
def test_rotation_of_a_far_too_long_file_keeps_its_newest_part(
    tmp_path: Path, backups: int
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %5d\n" % n for n in range(10_000)))
    assert rotate_log_file(path, 1000, backups)
    assert path.read_bytes() == b""
    kept = [tmp_path / name for name in names_in(tmp_path) if name.startswith("log.1")]
    assert len(kept) == min(backups, 1)
    for copy in kept:
        lines = copy.read_bytes().splitlines()
        assert 80 < len(lines) <= 91
        assert lines[0].startswith(b"line ")
        assert lines[-1] == b"line  9999"


def test_short_or_missing_file_is_not_rotated(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert not rotate_log_file(path, 10)
    path.write_bytes(b"x" * 10)
    assert not rotate_log_file(path, 10)
    assert names_in(tmp_path) == ["log"]


def test_file_is_not_rotated_while_another_process_does(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100)
    with filelock.FileLock(f"{path}.lock"):
        assert not rotate_log_file(path, 10)
    assert path.stat().st_size == 100
    assert rotate_log_file(path, 10)


def test_file_is_rotated_once_by_several_processes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100)
    start = threading.Barrier(4)
    rotated: list[bool] = []

    def rotate() -> None:
        start.wait()
        rotated.append(rotate_log_file(path, 99))

    threads = [threading.Thread(target=rotate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rotated) == [False, False, False, True]
    assert path.with_name("log.1").read_bytes() == b"x" * 100


@posix
def test_link_in_place_of_a_backup_is_not_followed(tmp_path: Path) -> None:
    path, foreign = tmp_path / "log", tmp_path / "foreign"
    foreign.write_text("precious")
    path.write_bytes(b"x" * 100)
    for number in (1, 2, 3):
        path.with_name(f"log.{number}").symlink_to(foreign)
    assert rotate_log_file(path, 10)
    assert foreign.read_text() == "precious"
    assert not path.with_name("log.1").is_symlink()


def test_failed_rotation_is_one_warning_and_is_retried(
    log_file: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(log_rotation, "_rotate", fail)
        for number in range(30):
            SERVER.info("line %d", number)
    text = (tmp_path / "server.log").read_text()
    assert text.count("cannot rotate the log file") == text.count("No space left on device") == 1
    assert len(text) > 1000
    for number in range(30):
        SERVER.info("line %d", number)
    assert (tmp_path / "server.log.1").exists()


@pytest.fixture
def unwritable_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the lock file impossible, as in a directory in which this user cannot write."""

    def deny(path: Path, **_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(lock_file, "open_private", deny)


@pytest.mark.usefixtures("unwritable_directory")
def test_log_in_an_unwritable_directory_continues_in_the_same_file(
    log_file: LogFile, tmp_path: Path
) -> None:
    for number in range(30):
        SERVER.info("line %d", number)
    log_file.rotate_if_long()
    text = (tmp_path / "server.log").read_text()
    assert 1 <= text.count("cannot rotate the log file") < 5
    assert "Set log_file_path" in text
    assert "line 29" in text


def test_emit_reports_every_failed_rotation_and_raises_nothing(
    log_file: LogFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no such rotation")

    monkeypatch.setattr(log_rotation, "_rotate", fail)
    for number in range(30):
        SERVER.info("line %d", number)
    assert "no such rotation" in capsys.readouterr().err


# -- the log of a launched server ------------------------------------------------------------


def test_output_of_a_launched_server_is_bounded(
    config: ZMQConfig, make_launcher: Callable[..., SubprocessLauncher]
) -> None:
    with ZMQClient(config=config, launcher=make_launcher("print"), persistent=False) as client:
        path = Path(client.ping().log_file_path or "")
        oldest = path.with_name(f"{path.name}.{ROTATED_LOG_FILES}")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not oldest.exists():
            assert time.monotonic() < deadline
            client.ping()
    names = [name for name in names_in(path.parent) if not name.endswith(".lock")]
    assert len(names) == 1 + ROTATED_LOG_FILES
    newest = path.with_name(f"{path.name}.1").read_bytes()
    assert b"\0" not in newest
    assert os.name == "nt" or mode_of(oldest) == 0o600


def test_log_that_is_too_long_is_rotated_when_a_server_is_launched(
    config: ZMQConfig, endpoint: Endpoint, make_launcher: Callable[..., SubprocessLauncher]
) -> None:
    launcher = make_launcher("exit")
    launcher.launch(endpoint, config, persistent=True).wait(PATIENCE_SECONDS)
    assert config.log_dir is not None
    (path,) = config.log_dir.iterdir()
    with path.open("ab") as log:
        log.truncate(MAX_LOG_FILE_BYTES + 1)
    launcher.launch(endpoint, config, persistent=True).wait(PATIENCE_SECONDS)
    assert path.stat().st_size < MAX_LOG_FILE_BYTES
    assert path.with_name(f"{path.name}.1").exists()


@pytest.mark.usefixtures("unwritable_directory")
def test_log_that_cannot_be_rotated_is_a_failed_launch(
    tmp_path: Path, config: ZMQConfig, endpoint: Endpoint
) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(bytes(MAX_LOG_FILE_BYTES + 1))
    launcher = SubprocessLauncher([sys.executable, "-c", ""], log_file_path=path)
    with pytest.raises(LaunchFailed, match="Set log_file_path"):
        launcher.launch(endpoint, config, persistent=True)


def test_log_tail_survives_a_rotation(
    config: ZMQConfig, endpoint: Endpoint, make_launcher: Callable[..., SubprocessLauncher]
) -> None:
    launcher = make_launcher("exit")
    launcher.launch(endpoint, config, persistent=True).wait(PATIENCE_SECONDS)
    assert config.log_dir is not None
    (path,) = config.log_dir.iterdir()
    with path.open("ab") as log:
        log.write(b"x" * 1000)
    server = launcher.launch(endpoint, config, persistent=True)
    server.wait(PATIENCE_SECONDS)
    path.write_text("the last line\n")
    assert server.log_tail().splitlines()[1:] == ["the last line"]
