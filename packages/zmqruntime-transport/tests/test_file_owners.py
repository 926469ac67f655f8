"""Rules for owners, modes and links of files and directories."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from transport_files import STRANGER, US, found, posix

from zmqruntime.transport.errors import UnsafePath
from zmqruntime.transport.process import file_owners
from zmqruntime.transport.process.file_owners import (
    directory_fault,
    file_fault,
    is_private_group,
)
from zmqruntime.transport.process.safe_paths import check_ancestors, check_safe_dir


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
