"""Rules for owner, mode and link count, so that other users cannot write to a path.

Pure: a rule takes the result of a stat and returns its fault, or None. Windows has no numeric
owners and no modes: there `user_id` is None, and only the type of a file and its links are checked;
the directories of a profile are private to its user.

The rules for the directories are those of OpenSSH's ``StrictModes`` (``auth_secure_path``): every
directory that leads to a path belongs to this user or to root, and no other user can rename what
is in it.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
from pathlib import Path
from typing import Final

__all__ = [
    "describe_kind",
    "directory_fault",
    "file_fault",
    "is_private_group",
    "link_fault",
    "pipe_fault",
    "user_id",
]

_ROOT: Final = 0
# Every id is mapped to itself: user_namespaces(7).
_NO_NAMESPACE: Final = ["0", "0", "4294967295"]


def user_id() -> int | None:
    """Return the effective user id of this process; None: the platform has none (Windows)."""
    return os.geteuid() if hasattr(os, "geteuid") else None


def file_fault(found: os.stat_result, user: int | None) -> str | None:
    """Return why another user may write a file, or None."""
    if not stat.S_ISREG(found.st_mode):
        return f"is {describe_kind(found.st_mode)}, not a regular file: remove it"
    if found.st_nlink != 1:
        return (
            f"has {found.st_nlink} hard links, so it may be another file as well: remove the "
            "other names, or this one"
        )
    if user is None:
        return None
    if found.st_uid != user:
        return f"belongs to user {found.st_uid}, not to this process's user {user}: remove it"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return (
            f"can be written by other users (mode {found.st_mode & 0o777:04o}), so its content may "
            "be theirs: remove it, or run chmod 600 on it if you trust its content"
        )
    return None


def link_fault(found: os.stat_result, user: int | None) -> str | None:
    """Return why another user may control a symbolic link on the way to a path, or None."""
    return _owner_fault(found, user)


def pipe_fault(found: os.stat_result, user: int | None) -> str | None:
    """Return why another user may control a named pipe, and leave it full, or None."""
    if _is_trusted(found, user):
        return None
    return (
        f"is a named pipe of user {found.st_uid}, not of this process's user {user}: remove it, or "
        "choose another path"
    )


def directory_fault(
    found: os.stat_result,
    user: int | None,
    *,
    is_ancestor: bool = False,
    has_acl: bool = False,
    trusts_root_groups: bool = False,
) -> str | None:
    """Return why another user can replace the entries of a directory, or None.

    Args:
        found: its stat.
        user: the user of this process; None: the platform has no numeric users.
        is_ancestor: only one entry matters, which belongs to this user or root; then the sticky
            bit protects that entry, as in ``/tmp``.
        has_acl: it has an access control list, whose mask replaces the mode of the group (acl(5)):
            users outside the group may write.
        trusts_root_groups: the group of a directory of root may write, as ``syslog`` in
            ``/var/log`` on Ubuntu.
    """
    if not stat.S_ISDIR(found.st_mode):
        return f"is {describe_kind(found.st_mode)}, not a directory: remove it"
    if user is None:
        return None
    if fault := _owner_fault(found, user):
        return fault
    if is_ancestor and found.st_mode & stat.S_ISVTX:
        return None
    if found.st_mode & stat.S_IWOTH:
        return f"can be written by every user (mode {found.st_mode & 0o7777:04o}): {_remedy('o')}"
    if not found.st_mode & stat.S_IWGRP or (trusts_root_groups and found.st_uid == _ROOT):
        return None
    if has_acl or not is_private_group(found.st_gid, found.st_uid):
        others = "other users by its access control list" if has_acl else f"group {found.st_gid}"
        return f"can be written by {others} (mode {found.st_mode & 0o7777:04o}): {_remedy('g')}"
    return None


def describe_kind(mode: int) -> str:
    """Return the type of a file by its mode, with an article."""
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFREG: "a regular file",
    }
    return kinds.get(stat.S_IFMT(mode), "a special file")


def is_private_group(group: int, user: int) -> bool:
    """Whether ``group`` is the private group of ``user``, without other members.

    Where users have one (Ubuntu, Fedora), their default umask is 0002, and their directories are
    writable by that group.
    """
    if sys.platform == "win32":
        return True
    import grp  # Not above: not on Windows.
    import pwd

    try:
        owner, found = pwd.getpwuid(user), grp.getgrgid(group)
    except KeyError:  # No name, as in a container: the members are unknown.
        return False
    is_own = owner.pw_gid == group and found.gr_name == owner.pw_name
    return is_own and set(found.gr_mem) <= {owner.pw_name}


def _is_trusted(found: os.stat_result, user: int | None) -> bool:
    return user is None or found.st_uid in (user, _ROOT, _outside_user())


def _owner_fault(found: os.stat_result, user: int | None) -> str | None:
    if _is_trusted(found, user):
        return None
    return (
        f"belongs to user {found.st_uid}, and that user can replace what is below it: choose a "
        "directory below one of your own"
    )


def _remedy(class_: str) -> str:
    return f"run chmod {class_}-w on it, or choose a directory of your own"


@functools.cache
def _outside_user() -> int | None:
    """Return the id of all users outside of this user namespace; None: in the initial namespace.

    In a rootless container the root of the host has this id, and ``/`` often belongs to it.
    user_namespaces(7), "Unmapped user and group IDs".
    """
    try:
        if Path("/proc/self/uid_map").read_text("ascii").split() == _NO_NAMESPACE:
            return None
        return int(Path("/proc/sys/kernel/overflowuid").read_text("ascii"))
    except (OSError, ValueError):  # Not Linux, or without /proc.
        return None
