"""Private and default directories: creation, modes, and the refusal of unsafe ones."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from transport_files import STRANGER, mode_of, posix, root

from zmqruntime.transport.errors import EndpointError, UnsafePath
from zmqruntime.transport.process.default_dirs import (
    default_data_dir,
    default_log_dir,
    default_runtime_dir,
)
from zmqruntime.transport.process.private_dirs import check_private_dir, make_private_dir


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
