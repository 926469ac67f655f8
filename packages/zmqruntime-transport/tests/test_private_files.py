"""Private files and logs: creation, modes, and the refusal of planted ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transport_files import (
    STRANGER,
    mode_of,
    plant_directory,
    plant_hard_link,
    plant_link,
    plant_pipe,
    plant_socket,
    plant_writable_file,
    posix,
    reading,
    root,
)

from zmqruntime.transport.errors import UnsafePath
from zmqruntime.transport.process import private_files
from zmqruntime.transport.process.private_files import check_private_file, open_log, open_private
from zmqruntime.transport.process.safe_paths import check_ancestors


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_created_file_has_mode_0600_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "new"
    before = os.umask(umask)
    try:
        os.close(open_private(path, write=True, create=True))
    finally:
        os.umask(before)
    assert mode_of(path) == 0o600


def test_content_of_a_private_file_is_kept_until_it_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with os.fdopen(open_private(path, append=True, create=True), "ab") as file:
        file.write(b"one")
    with os.fdopen(open_private(path, append=True, create=True), "ab") as file:
        file.write(b" two")
    with os.fdopen(open_private(path), "rb") as file:
        assert file.read() == b"one two"
    with os.fdopen(open_private(path, write=True, create=True), "r+b") as file:
        assert file.read() == b"one two"
    os.close(open_private(path, write=True, create=True, truncate=True))
    assert path.read_bytes() == b""


def test_missing_file_is_created_only_on_request(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_private(tmp_path / "missing", write=True)
    check_private_file(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_descriptor_is_not_inherited_and_blocks(tmp_path: Path) -> None:
    descriptor = open_private(tmp_path / "file", write=True, create=True)
    try:
        assert not os.get_inheritable(descriptor)
        if hasattr(os, "O_NONBLOCK"):
            assert os.get_blocking(descriptor)
    finally:
        os.close(descriptor)


@posix
def test_file_that_others_can_only_read_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "old.log"
    path.write_bytes(b"old")
    path.chmod(0o644)
    os.close(open_private(path))
    assert (mode_of(path), path.read_bytes()) == (0o600, b"old")


@posix
def test_file_system_without_modes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(UnsafePath, match=r"kept from other users \(Operation not permitted\)"):
        open_private(tmp_path / "file", write=True, create=True)


@posix
@pytest.mark.parametrize(
    "plant",
    [
        plant_link,
        plant_hard_link,
        plant_writable_file,
        plant_pipe,
        plant_socket,
        plant_directory,
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"write": True},
        {"write": True, "create": True, "truncate": True},
        {"append": True, "create": True},
        {"append": True, "create": True, "truncate": True},
    ],
)
def test_planted_file_is_refused_and_not_changed(
    runtime_dir: Path, plant: object, options: dict[str, bool]
) -> None:
    assert callable(plant)
    target, path = runtime_dir / "precious", runtime_dir / "p"
    target.write_bytes(b"precious")
    target.chmod(0o600)
    plant(path, target)
    before = path.lstat()
    with pytest.raises(UnsafePath, match=rf"^{path} (is|has|can) "):
        open_private(path, **options)
    with pytest.raises(UnsafePath, match=rf"^{path} (is|has|can) "):
        check_private_file(path)
    assert target.read_bytes() == b"precious"
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (
        before.st_ino,
        before.st_mode,
        before.st_size,
    )


@posix
def test_dangling_link_creates_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(UnsafePath, match="symbolic link"):
        open_private(tmp_path / "link", write=True, create=True)
    assert not (tmp_path / "target").exists()


@posix
def test_link_that_is_planted_just_before_the_open_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(target)
    monkeypatch.setattr(Path, "is_symlink", lambda _: False)  # The result of an earlier check.
    with pytest.raises(UnsafePath, match="symbolic link"):
        open_private(tmp_path / "link", write=True, create=True, truncate=True)
    assert target.read_bytes() == b"precious"


def test_link_is_refused_without_nofollow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_files, "_NOFOLLOW", 0)
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    try:
        (tmp_path / "link").symlink_to(target)
    except OSError:
        pytest.skip("this user may not make links")
    with pytest.raises(UnsafePath, match="symbolic link"):
        open_private(tmp_path / "link", write=True, create=True, truncate=True)
    assert target.read_bytes() == b"precious"


@root
def test_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    path.write_bytes(b"theirs")
    path.chmod(0o600)
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(UnsafePath, match="belongs to user 65534"):
        open_private(path, write=True, create=True, truncate=True)
    assert path.read_bytes() == b"theirs"


@posix
def test_log_may_be_a_device_and_not_a_link_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "device").symlink_to(os.devnull)
    for device in (Path(os.devnull), tmp_path / "device"):
        with os.fdopen(open_log(device), "ab") as log:
            log.write(b"nothing is kept")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(UnsafePath, match="symbolic link"):
        open_log(tmp_path / "link")
    for line in (b"one ", b"two"):
        with os.fdopen(open_log(tmp_path / "log"), "ab") as log:
            log.write(line)
    assert ((tmp_path / "log").read_bytes(), mode_of(tmp_path / "log")) == (b"one two", 0o600)


@posix
@pytest.mark.parametrize("through_link", [False, True])
def test_log_may_be_a_pipe_of_this_user(tmp_path: Path, through_link: bool) -> None:
    with reading(tmp_path / "pipe") as reader:
        path = tmp_path / "pipe"
        if through_link:
            path = tmp_path / "link"
            path.symlink_to(tmp_path / "pipe")
        with os.fdopen(open_log(path), "ab") as log:
            assert os.get_blocking(log.fileno())
            log.write(b"line")
        assert os.read(reader, 100) == b"line"


@root
@pytest.mark.parametrize("through_link", [False, True])
def test_log_to_a_pipe_of_another_user_is_refused(tmp_path: Path, through_link: bool) -> None:
    with reading(tmp_path / "pipe"):
        os.chown(tmp_path / "pipe", STRANGER, STRANGER)
        path = tmp_path / "pipe"
        if through_link:
            path = tmp_path / "link"
            path.symlink_to(tmp_path / "pipe")
        with pytest.raises(UnsafePath, match=f"{path} is a named pipe of user 65534"):
            open_log(path)


@root
@pytest.mark.parametrize("target", ["pipe", os.devnull])
def test_log_through_a_link_of_another_user_is_refused(tmp_path: Path, target: str) -> None:
    with reading(tmp_path / "pipe"):
        (tmp_path / "link").symlink_to(tmp_path / target)
        os.lchown(tmp_path / "link", STRANGER, STRANGER)
        with pytest.raises(UnsafePath, match="link belongs to user 65534"):
            open_log(tmp_path / "link")


@root
@pytest.mark.skipif(sys.platform != "linux", reason="a pipe without a name has no owner to change")
def test_log_may_be_the_stdout_of_this_process_of_any_user() -> None:
    reader, writer = os.pipe()
    os.fchown(writer, STRANGER, STRANGER)
    log = "import os, pathlib; from zmqruntime.transport.process.private_files import open_log; "
    log += "os.write(open_log(pathlib.Path('/dev/stdout')), b'line')"
    subprocess.run([sys.executable, "-c", log], stdout=writer, check=True)
    os.close(writer)
    with os.fdopen(reader, "rb") as output:
        assert output.read() == b"line"


@posix
@pytest.mark.parametrize(("mode", "is_taken"), [(0o755, True), (0o1777, True), (0o777, False)])
def test_log_in_a_world_writable_directory_is_refused(
    tmp_path: Path, mode: int, is_taken: bool
) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    directory.chmod(mode)
    if is_taken:
        os.close(open_log(directory / "log"))
    else:
        with pytest.raises(UnsafePath, match=f"{directory} can be written by every user"):
            open_log(directory / "log")
    assert (directory / "log").exists() == is_taken


@root
def test_log_in_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    os.chown(tmp_path / "logs", STRANGER, STRANGER)
    with pytest.raises(UnsafePath, match="logs belongs to user 65534"):
        open_log(tmp_path / "logs" / "log")


@root
def test_log_may_be_in_a_group_writable_directory_of_root(
    tmp_path: Path,
) -> None:
    (tmp_path / "log").mkdir()
    os.chown(tmp_path / "log", 0, STRANGER)
    (tmp_path / "log").chmod(0o775)  # As /var/log on Ubuntu.
    os.close(open_log(tmp_path / "log" / "log"))
    with pytest.raises(UnsafePath, match="can be written by group 65534"):
        check_ancestors(tmp_path / "log" / "log")
