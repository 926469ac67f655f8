"""Private files and directories: their rules, and the refusal of unsafe ones."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import platformdirs
import pytest

from zmqruntime.transport.errors import EndpointError, UnsafePath
from zmqruntime.transport.process import file_owners, private_files
from zmqruntime.transport.process.default_dirs import (
    default_data_dir,
    default_log_dir,
    default_runtime_dir,
)
from zmqruntime.transport.process.file_owners import (
    directory_fault,
    file_fault,
    is_private_group,
)
from zmqruntime.transport.process.lock_file import acquire_lock
from zmqruntime.transport.process.private_dirs import check_private_dir, make_private_dir
from zmqruntime.transport.process.private_files import check_private_file, open_log, open_private
from zmqruntime.transport.process.safe_paths import check_ancestors, check_safe_dir

US, STRANGER = 1000, 65534

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no owners and modes")
root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as another user"
)


def found(mode: int, *, owner: int = US, group: int = 54321, links: int = 1) -> os.stat_result:
    return os.stat_result((mode, 1, 1, links, owner, group, 0, 0, 0, 0))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[int]:
    """Make a named pipe and read it."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield reader
    finally:
        os.close(reader)


# -- the rules --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o000, 0o644])
def test_file_of_this_user_is_accepted(mode: int) -> None:
    assert file_fault(found(stat.S_IFREG | mode), US) is None


@pytest.mark.parametrize(
    ("stat_result", "fault"),
    [
        (found(stat.S_IFREG | 0o600, owner=STRANGER), "belongs to user 65534"),
        (found(stat.S_IFREG | 0o600, owner=0), "belongs to user 0"),
        (found(stat.S_IFREG | 0o620), "can be written by other users"),
        (found(stat.S_IFREG | 0o602), "can be written by other users"),
        (found(stat.S_IFREG | 0o600, links=2), "has 2 hard links"),
        (found(stat.S_IFREG | 0o600, links=0), "has 0 hard links"),
        (found(stat.S_IFLNK | 0o777), "is a symbolic link"),
        (found(stat.S_IFIFO | 0o600), "is a named pipe"),
        (found(stat.S_IFSOCK | 0o600), "is a socket"),
        (found(stat.S_IFCHR | 0o600), "is a device"),
        (found(stat.S_IFDIR | 0o700), "is a directory"),
    ],
)
def test_file_under_control_of_another_user_is_a_fault(
    stat_result: os.stat_result, fault: str
) -> None:
    assert fault in (file_fault(stat_result, US) or "")


def test_link_count_is_checked_without_numeric_users() -> None:
    assert file_fault(found(stat.S_IFREG | 0o666, owner=0), None) is None
    assert file_fault(found(stat.S_IFREG | 0o666, links=2), None) is not None


@pytest.mark.parametrize(
    ("stat_result", "is_ancestor", "is_safe"),
    [
        (found(stat.S_IFDIR | 0o755), False, True),
        (found(stat.S_IFDIR | 0o755, owner=0), False, True),
        (found(stat.S_IFDIR | 0o755, owner=STRANGER), False, False),
        (found(stat.S_IFDIR | 0o755, owner=STRANGER), True, False),
        (found(stat.S_IFDIR | 0o1777, owner=STRANGER), True, False),
        (found(stat.S_IFDIR | 0o1777, owner=0), True, True),
        (found(stat.S_IFDIR | 0o1777, owner=0), False, False),
        (found(stat.S_IFDIR | 0o777), True, False),
        (found(stat.S_IFDIR | 0o775), True, False),
        (found(stat.S_IFDIR | 0o2775), False, False),
        (found(stat.S_IFREG | 0o600), False, False),
    ],
)
@posix
def test_directory_is_safe_if_only_its_owner_can_replace_its_entries(
    stat_result: os.stat_result, is_ancestor: bool, is_safe: bool
) -> None:
    fault = directory_fault(stat_result, US, is_ancestor=is_ancestor)
    assert (fault is None) == is_safe, fault


@posix
def test_directory_of_a_private_group_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        file_owners, "is_private_group", lambda group, user: (group, user) == (7, US)
    )
    assert directory_fault(found(stat.S_IFDIR | 0o775, group=7), US) is None
    assert directory_fault(found(stat.S_IFDIR | 0o775, group=8), US) is not None
    assert directory_fault(found(stat.S_IFDIR | 0o777, group=7), US) is not None


@posix
def test_directory_with_an_access_control_list_is_writable_by_more_than_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_owners, "is_private_group", lambda *_: True)
    tmp_path.chmod(0o770)
    check_safe_dir(tmp_path)
    monkeypatch.setattr(os, "getxattr", lambda *_: b"acl", raising=False)
    for check in (check_safe_dir, lambda path: check_ancestors(path / "x")):
        with pytest.raises(UnsafePath, match="by other users by its access control list"):
            check(tmp_path)
    tmp_path.chmod(0o700)
    check_safe_dir(tmp_path)


@posix
@pytest.mark.parametrize(
    ("group", "is_private"),
    [
        (("ada", "x", 1000, []), True),
        (("ada", "x", 1000, ["ada"]), True),
        (("ada", "x", 1000, ["ada", "bob"]), False),
        (("lab", "x", 1000, []), False),
        (("ada", "x", 1001, []), False),
    ],
)
def test_group_is_private_if_it_has_the_name_of_its_only_member(
    group: tuple[object, ...], is_private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grp
    import pwd

    user = pwd.struct_passwd(("ada", "x", US, 1000, "", "/home/ada", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: user)
    monkeypatch.setattr(grp, "getgrgid", lambda _: grp.struct_group(group))
    assert is_private_group(group[2], US) is is_private  # type: ignore[arg-type]


@posix
def test_group_without_a_name_is_not_private() -> None:
    assert not is_private_group(54321, 54321)


@posix
def test_unmapped_user_of_a_rootless_container_counts_as_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(file_owners, "_outside_user", lambda: STRANGER)
    assert directory_fault(found(stat.S_IFDIR | 0o755, owner=STRANGER), US) is None


# -- files ------------------------------------------------------------------------------------


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


def plant_link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def plant_hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def plant_writable_file(path: Path, target: Path) -> None:
    path.write_bytes(target.read_bytes())
    path.chmod(0o666)


def plant_pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def plant_socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def plant_directory(path: Path, _: Path) -> None:
    path.mkdir()


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


# -- directories ------------------------------------------------------------------------------


@posix
def test_directory_below_a_sticky_one_is_safe(tmp_path: Path) -> None:
    sticky = tmp_path / "tmp"
    (sticky / "ours" / "below").mkdir(parents=True)
    sticky.chmod(0o1777)
    check_safe_dir(sticky / "ours" / "below")
    check_ancestors(sticky / "ours" / "not" / "there")
    with pytest.raises(UnsafePath, match="can be written by every user"):
        check_safe_dir(sticky)


@posix
@pytest.mark.parametrize("mode", [0o777, 0o757, 0o2777])
def test_directory_below_one_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    shared = tmp_path / "shared"
    (shared / "ours").mkdir(parents=True)
    shared.chmod(mode)
    for check in (check_ancestors, check_safe_dir):
        with pytest.raises(
            UnsafePath, match=f"^{shared / 'ours'} is not safe from other users: {shared} can be"
        ):
            check(shared / "ours")


@posix
def test_directory_that_a_group_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_owners, "is_private_group", lambda *_: False)
    tmp_path.chmod(0o770)
    with pytest.raises(UnsafePath, match=r"can be written by group \d+ .*: run chmod g-w on it"):
        check_safe_dir(tmp_path)


@posix
def test_directory_behind_links_is_checked_on_both_paths(tmp_path: Path) -> None:
    shared, ours = tmp_path / "shared", tmp_path / "ours"
    shared.mkdir()
    (ours / "real").mkdir(parents=True)
    (ours / "relative").symlink_to("../ours/real")
    check_safe_dir(ours / "relative")
    (shared / "absolute").symlink_to(ours / "real")
    check_safe_dir(shared / "absolute")
    (ours / "out").symlink_to(shared)
    shared.chmod(0o777)
    for path in (shared / "absolute", ours / "out" / "absolute", ours / "out" / ".." / "ours"):
        with pytest.raises(UnsafePath, match=f"{shared} can be written by every user"):
            check_safe_dir(path)


@posix
def test_circular_links_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        check_ancestors(tmp_path / "a" / "x")


@root
@pytest.mark.parametrize("mode", [0o755, 0o700, 0o1777])
def test_directory_below_one_of_another_user_is_refused(tmp_path: Path, mode: int) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "ours").mkdir(parents=True)
    theirs.chmod(mode)
    os.chown(theirs, STRANGER, STRANGER)
    for path in (theirs, theirs / "ours", theirs / "ours" / "missing"):
        with pytest.raises((UnsafePath, FileNotFoundError), match="belongs to user 65534"):
            check_safe_dir(path)


@root
def test_link_of_another_user_in_a_sticky_directory_is_refused(tmp_path: Path) -> None:
    ours, sticky = tmp_path / "ours", tmp_path / "tmp"
    ours.mkdir()
    sticky.mkdir()
    sticky.chmod(0o1777)
    (sticky / "link").symlink_to(ours)
    check_safe_dir(sticky / "link")
    os.chown(sticky / "link", STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(UnsafePath, match=f"^{sticky / 'link'} belongs to user 65534"):
        check_safe_dir(sticky / "link")


def test_ancestors_are_not_checked_without_numeric_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "geteuid", raising=False)
    tmp_path.chmod(0o777)
    check_safe_dir(tmp_path)
    assert sys.platform == "win32" or mode_of(tmp_path) == 0o777


# -- the runtime and log directories ----------------------------------------------------------


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_created_directories_have_mode_0700_with_any_umask(runtime_dir: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_private_dir(runtime_dir / "a" / "b" / "c")
    finally:
        os.umask(before)
    made = [runtime_dir / "a", runtime_dir / "a" / "b", runtime_dir / "a" / "b" / "c"]
    assert [mode_of(path) for path in made] == [0o700] * 3


@posix
def test_private_directory_that_another_user_could_replace_is_refused(runtime_dir: Path) -> None:
    shared = runtime_dir / "shared"
    (shared / "run").mkdir(mode=0o700, parents=True)
    shared.chmod(0o777)
    for check in (check_private_dir, make_private_dir):
        with pytest.raises(UnsafePath, match=r"every user .* log_dir \(--log-dir\)"):
            check(shared / "run", "log_dir")
    with pytest.raises(UnsafePath, match=f"{shared} can be written by every user"):
        make_private_dir(shared / "new" / "run")
    assert [path.name for path in shared.iterdir()] == ["run"]


@posix
def test_directory_behind_a_dangling_link_cannot_be_created(runtime_dir: Path) -> None:
    (runtime_dir / "link").symlink_to("nowhere")
    with pytest.raises(EndpointError, match=f"{runtime_dir}/link/run cannot be made"):
        make_private_dir(runtime_dir / "link" / "run")
    with pytest.raises(UnsafePath, match=f"{runtime_dir}/link is not a directory"):
        make_private_dir(runtime_dir / "link")


@root
def test_private_directory_below_one_of_another_user_is_refused(runtime_dir: Path) -> None:
    theirs = runtime_dir / "theirs"
    (theirs / "run").mkdir(mode=0o700, parents=True)
    os.chown(theirs, STRANGER, STRANGER)
    for check in (check_private_dir, make_private_dir):
        with pytest.raises(UnsafePath, match=f"{theirs} belongs to user 65534"):
            check(theirs / "run")


@pytest.mark.parametrize(
    "error", [PermissionError("owned by uid 1"), RuntimeError("no home directory"), OSError("x")]
)
@pytest.mark.parametrize(
    ("function", "default", "setting"),
    [
        ("user_runtime_path", default_runtime_dir, "runtime_dir"),
        ("user_log_path", default_log_dir, "log_dir"),
        ("user_data_path", default_data_dir, "journal"),
    ],
)
def test_missing_default_directory_is_an_endpoint_error(
    error: Exception,
    function: str,
    default: Callable[[str], Path],
    setting: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> Path:
        raise error

    monkeypatch.setattr("zmqruntime.transport.process.default_dirs.find_state_dir", lambda _: None)
    monkeypatch.setattr(platformdirs, function, refuse)
    with pytest.raises(EndpointError, match=f"no default directory for {setting}: {error}"):
        default("lab")


@root
@pytest.mark.skipif(sys.platform != "linux", reason="XDG directories are Linux's")
def test_default_runtime_directory_of_another_user_is_refused(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqruntime.transport.process.default_dirs.find_state_dir", lambda _: None)
    runtime_dir.chmod(0o1777)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(runtime_dir))
    monkeypatch.setenv("TMPDIR", str(runtime_dir))
    monkeypatch.setattr(os, "geteuid", lambda: 4321)  # A user without a directory below /run/user.
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    planted = runtime_dir / "runtime-4321"
    planted.mkdir()
    os.chown(planted, STRANGER, STRANGER)
    with pytest.raises(EndpointError):
        make_private_dir(default_runtime_dir("lab"))
    assert list(planted.iterdir()) == []


# -- locks ------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_lock_file_has_mode_0600_whatever_the_umask(runtime_dir: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        lock = acquire_lock(runtime_dir / "a.lock", timeout=0)
    finally:
        os.umask(before)
    assert mode_of(runtime_dir / "a.lock") == 0o600
    with pytest.raises(filelock.Timeout):
        acquire_lock(runtime_dir / "a.lock", timeout=0)
    lock.release()
    acquire_lock(runtime_dir / "a.lock", timeout=0).release()


@posix
@pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_pipe, plant_directory])
def test_planted_lock_file_is_refused(runtime_dir: Path, plant: object) -> None:
    assert callable(plant)
    target = runtime_dir / "precious"
    target.write_bytes(b"precious")
    plant(runtime_dir / "a.lock", target)
    with pytest.raises(UnsafePath, match=f"{runtime_dir / 'a.lock'} "):
        acquire_lock(runtime_dir / "a.lock", timeout=0)
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("error", [OSError("no locks available"), NotImplementedError("no flock")])
def test_lock_on_a_file_system_without_locks_is_an_endpoint_error(
    runtime_dir: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)
    with pytest.raises(EndpointError, match=f"a.lock cannot be locked: {error}. Set runtime_dir"):
        acquire_lock(runtime_dir / "a.lock", timeout=0)
