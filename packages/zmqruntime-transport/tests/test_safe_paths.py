"""Paths that another user could redirect, and directories that they could replace."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from transport_files import STRANGER, mode_of, posix, root

from zmqruntime.transport.errors import UnsafePath
from zmqruntime.transport.process import file_owners
from zmqruntime.transport.process.safe_paths import check_ancestors, check_safe_dir


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
