"""Checks that no other user can replace a directory or redirect a path.

The rules for owners and modes are in `file_owners`; here is the walk along a path.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zmqruntime.transport.errors import UnsafePath
from zmqruntime.transport.process.file_owners import directory_fault, link_fault, user_id

__all__ = ["check_ancestors", "check_path", "check_safe_dir", "make_unsafe_error", "refuse"]

_MAX_LINKS: Final = 40  # As in Linux: path_resolution(7).
_ACL: Final = "system.posix_acl_access"


def check_safe_dir(directory: Path) -> None:
    """Raise if another user could create, replace or remove files in a directory.

    It has to belong to this user or root, be writable by its owner only, and pass
    `check_ancestors`. Other users may read it.

    Raises:
        UnsafePath: another user could.
        OSError: it is missing, or cannot be examined (lstat(2)).
    """
    check_ancestors(directory)
    found = directory.stat()
    refuse(directory, directory_fault(found, user_id(), has_acl=_has_acl(directory, found)))


def check_ancestors(path: Path) -> None:
    """Raise if another user could redirect a path.

    Each directory and symbolic link that the system passes has to belong to this user or root, and
    each directory to be writable by its owner only, or sticky. The path itself is checked only if
    it is a link. The walk ends at a missing component.

    Raises:
        UnsafePath: another user could.
        OSError: a component cannot be examined (lstat(2)).
    """
    check_path(path)


def check_path(path: Path, *, trusts_root_groups: bool = False) -> None:
    """Raise as `check_ancestors`; the group of a directory of root may be trusted to write."""
    user = user_id()
    if user is None:
        return
    for step, found in _walk(path):
        if stat.S_ISLNK(found.st_mode):
            refuse(step, link_fault(found, user), on_the_way_to=path)
        elif stat.S_ISDIR(found.st_mode):  # Below any other file, the next step is an error.
            has_acl = _has_acl(step, found)
            fault = directory_fault(
                found,
                user,
                is_ancestor=True,
                has_acl=has_acl,
                trusts_root_groups=trusts_root_groups,
            )
            refuse(step, fault, on_the_way_to=path)


def refuse(path: Path, fault: str | None, *, on_the_way_to: Path | None = None) -> None:
    """Raise an UnsafePath, if there is a fault."""
    if fault is not None:
        raise make_unsafe_error(path, fault, on_the_way_to)


def make_unsafe_error(path: Path, fault: str, on_the_way_to: Path | None = None) -> UnsafePath:
    """Return the error for a fault of ``path``, or of a component of another path."""
    if on_the_way_to is not None and on_the_way_to != path:
        return UnsafePath(f"{on_the_way_to} is not safe from other users: {path} {fault}")
    return UnsafePath(f"{path} {fault}")


def _has_acl(directory: Path, found: os.stat_result) -> bool:
    """Whether a group-writable directory has an access control list."""
    if not hasattr(os, "getxattr") or not found.st_mode & stat.S_IWGRP:  # Linux only.
        return False
    try:
        return bool(os.getxattr(directory, _ACL))
    except OSError:  # It has none, or its file system does not support it.
        return False


def _walk(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each directory and link that the system passes to resolve ``path``, without ``path``.

    ``..`` is resolved after links. ``path`` itself is yielded if it is a link.

    Raises:
        OSError: a component cannot be examined, or there are too many links.
    """
    path = path.absolute()
    step = Path(path.anchor)
    rest = list(reversed(path.relative_to(step).parts))
    links = 0
    while True:
        try:
            found = step.lstat()
        except FileNotFoundError:
            return
        if stat.S_ISLNK(found.st_mode):
            yield step, found
            if (links := links + 1) > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            target = step.readlink()
            step = step.parent / target.anchor if target.is_absolute() else step.parent
            rest += reversed(target.relative_to(target.anchor).parts)
        elif rest:
            yield step, found
            name = rest.pop()
            step = step.parent if name == ".." else step / name
        else:
            return
