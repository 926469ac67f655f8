"""Opens files that only this user can read and write, and finds out which places allow that.

Another user of the machine may have put something at a name that this process is going to use: a
link to one of our own files, a file with content of theirs, a pipe. What they can't do is to
change an open file. So each file is opened without following a link, and checked by its
descriptor before the first byte is read, written or cut off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zmqruntime.transport.errors import UnsafePath
from zmqruntime.transport.process.file_owners import (
    directory_fault,
    file_fault,
    link_fault,
    pipe_fault,
    user_id,
)

__all__ = ["check_ancestors", "check_private_file", "check_safe_dir", "open_log", "open_private"]

_MODE: Final = 0o600
_STANDARD_STREAMS: Final = (1, 2)
_MAX_LINKS: Final = 40  # As Linux does: path_resolution(7).
_ACL: Final = "system.posix_acl_access"
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_FLAGS: Final = (
    _NOFOLLOW
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # A named pipe without a reader or writer would block the open.
)


def open_private(
    path: Path,
    *,
    write: bool = False,
    append: bool = False,
    create: bool = False,
    truncate: bool = False,
) -> int:
    """Open a file of this user's own, for reading, and return its descriptor.

    One that is created has the mode 0600, whatever the umask. One that other users can only read
    gets it, too; one that they can write is refused, as its content may be theirs.

    Args:
        path: the file. A symbolic link there is refused; check its directory by `check_safe_dir`.
        write: for writing, too.
        append: for writing at its end, and not for reading (unless ``write``).
        create: make it if it is missing.
        truncate: cut it to no bytes, once it has been checked. Only with ``write`` or ``append``.

    Raises:
        UnsafePath: it is a link or no regular file, has a second hard link, belongs to another
            user, or can be written by others. It is left as it is.
        OSError: it cannot be opened (open(2)).
    """
    access = os.O_RDWR if write else os.O_WRONLY if append else os.O_RDONLY
    flags = access | _FLAGS | (os.O_APPEND if append else 0)
    descriptor, is_new = _open(path, flags, create=create)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, descriptor)
        if is_new:
            _chmod(path, descriptor)  # The umask may have taken bits away from the mode.
        else:
            found = os.fstat(descriptor)
            _refuse(path, file_fault(found, user_id()))
            if found.st_mode & 0o077:
                _chmod(path, descriptor)
        if truncate and not is_new:
            os.ftruncate(descriptor, 0)
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(descriptor, True)
        undo.pop_all()
    return descriptor


def open_log(path: Path) -> int:
    """Open a log file to append to it, as `open_private` does; a device or pipe as it is.

    A log may be sent to ``/dev/null`` or ``/dev/stderr``, which is a link to a terminal or a pipe.
    Only root can make a device. A pipe belongs to this user or to root, or is this process's stdout
    or stderr. The way to the log is checked as `check_ancestors` does, but a directory of root may
    be writable by its group.

    Raises:
        UnsafePath: as for `open_private`; a pipe or a directory in which another user can write.
        OSError: it cannot be opened (open(2)); a pipe that no process reads.
    """
    _check_way(path, trusts_root_groups=True)
    with contextlib.suppress(FileNotFoundError):
        if _is_stream(path, path.stat()):
            # A pipe without a reader is then an error, and does not wait for one.
            descriptor = os.open(path, os.O_WRONLY | (_FLAGS & ~_NOFOLLOW))
            with contextlib.ExitStack() as undo:
                undo.callback(os.close, descriptor)
                if _is_stream(path, os.fstat(descriptor)):
                    if hasattr(os, "O_NONBLOCK"):
                        os.set_blocking(descriptor, True)
                    undo.pop_all()
                    return descriptor
    return open_private(path, append=True, create=True)


def _is_stream(path: Path, found: os.stat_result) -> bool:
    """Whether a log can be sent there as it is. A pipe of another user is refused."""
    if stat.S_ISFIFO(found.st_mode):
        if not _is_standard_stream(found):
            _refuse(path, pipe_fault(found, user_id()))
        return True
    return stat.S_ISCHR(found.st_mode)


def _is_standard_stream(found: os.stat_result) -> bool:
    for descriptor in _STANDARD_STREAMS:
        with contextlib.suppress(OSError):  # It is closed.
            if os.path.samestat(found, os.fstat(descriptor)):
                return True
    return False


def check_private_file(path: Path) -> None:
    """Refuse a file that `open_private` would refuse, for libraries that open it by its name.

    A missing one is fine. It says nothing about later: its directory has to be safe.

    Raises:
        UnsafePath: as for `open_private`.
        OSError: it cannot be examined (lstat(2)).
    """
    with contextlib.suppress(FileNotFoundError):
        _refuse(path, file_fault(path.lstat(), user_id()))


def check_safe_dir(directory: Path) -> None:
    """Refuse a directory in which another user could put, replace or remove files.

    Reading it may be allowed to others. It belongs to this user or to root, only its owner can
    write in it, and `check_ancestors` accepts the way to it.

    Raises:
        UnsafePath: another user could.
        OSError: it is missing, or cannot be examined (lstat(2)).
    """
    check_ancestors(directory)
    found = directory.stat()
    _refuse(directory, directory_fault(found, user_id(), has_acl=_has_acl(directory, found)))


def check_ancestors(path: Path) -> None:
    """Refuse a path that another user could lead to somewhere else.

    Each directory and symbolic link on the way there, as the system walks it, belongs to this
    user or to root, and each directory can be written by its owner only, or is sticky. The path
    itself is not checked, unless it is a link. The way ends where something is missing.

    Raises:
        UnsafePath: another user could.
        OSError: something on the way cannot be examined (lstat(2)).
    """
    _check_way(path)


def _check_way(path: Path, *, trusts_root_groups: bool = False) -> None:
    user = user_id()
    if user is None:
        return
    for step, found in _walk(path):
        if stat.S_ISLNK(found.st_mode):
            _refuse(step, link_fault(found, user), on_the_way_to=path)
        elif stat.S_ISDIR(found.st_mode):  # Behind anything else, the next step is an error.
            has_acl = _has_acl(step, found)
            fault = directory_fault(
                found,
                user,
                is_ancestor=True,
                has_acl=has_acl,
                trusts_root_groups=trusts_root_groups,
            )
            _refuse(step, fault, on_the_way_to=path)


def _open(path: Path, flags: int, *, create: bool) -> tuple[int, bool]:
    """Return a descriptor, and whether the file was made by this call."""
    if not _NOFOLLOW and path.is_symlink():  # Windows
        raise _unsafe(path, "is a symbolic link, not a regular file: remove it")
    while True:
        with contextlib.suppress(FileExistsError):
            if create:
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, _MODE), True
        try:
            return os.open(path, flags), False
        except FileNotFoundError:
            if not create:
                raise
            # Removed between the two attempts, as by another process of ours that has ended.
        except OSError as error:
            with contextlib.suppress(FileNotFoundError):
                # ELOOP, EMLINK or EFTYPE for a link; ENXIO for a socket; EISDIR.
                if not stat.S_ISREG((found := path.lstat()).st_mode):
                    raise _unsafe(path, file_fault(found, user_id()) or "") from error
            raise


def _chmod(path: Path, descriptor: int) -> None:
    if not hasattr(os, "fchmod"):  # Windows, before Python 3.13; later it changes nothing here.
        return
    try:
        os.fchmod(descriptor, _MODE)
    except OSError as error:  # FAT, for one, keeps no modes.
        raise _unsafe(
            path,
            f"cannot be kept from other users ({error.strerror}): choose a directory on a file "
            "system that keeps permissions",
        ) from error


def _has_acl(directory: Path, found: os.stat_result) -> bool:
    """Whether a directory that its group can write has an access control list as well."""
    if not hasattr(os, "getxattr") or not found.st_mode & stat.S_IWGRP:  # Linux alone has both.
        return False
    try:
        return bool(os.getxattr(directory, _ACL))
    except OSError:  # It has none, or its file system knows none.
        return False


def _walk(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each directory and link that the system passes on its way to ``path``, but not that.

    ``..`` is taken where it stands, behind links; `path` itself is yielded if it is a link.

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


def _refuse(path: Path, fault: str | None, *, on_the_way_to: Path | None = None) -> None:
    if fault is not None:
        raise _unsafe(path, fault, on_the_way_to)


def _unsafe(path: Path, fault: str, on_the_way_to: Path | None = None) -> UnsafePath:
    if on_the_way_to is not None and on_the_way_to != path:
        return UnsafePath(f"{on_the_way_to} is not safe from other users: {path} {fault}")
    return UnsafePath(f"{path} {fault}")
