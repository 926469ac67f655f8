"""Opens private files: only this user can read and write them.

Another user may have created something at a predictable name: a link to a file of this user, a file
with foreign content, a pipe. But other users cannot exchange an open file. So each file is opened
without following links, and checked by its descriptor before it is read, written or truncated.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from zmqruntime.transport.process.file_owners import file_fault, pipe_fault, user_id
from zmqruntime.transport.process.safe_paths import check_path, make_unsafe_error, refuse

__all__ = ["check_private_file", "open_log", "open_private"]

_MODE: Final = 0o600
_STANDARD_STREAMS: Final = (1, 2)
_NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_FLAGS: Final = (
    _NOFOLLOW
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # Else a named pipe without a peer blocks.
)


def open_private(
    path: Path,
    *,
    write: bool = False,
    append: bool = False,
    create: bool = False,
    truncate: bool = False,
) -> int:
    """Open a private file for reading, and return its descriptor.

    A new file has mode 0600, whatever the umask. A file that other users can read gets it as well;
    one that they can write is refused, as its content may be theirs.

    Args:
        path: the file; not a symbolic link. Check its directory by `check_safe_dir`.
        write: open it for writing, too.
        append: open it for appending, and not for reading (unless ``write``).
        create: create it if it is missing.
        truncate: truncate it after the checks. Only with ``write`` or ``append``.

    Raises:
        UnsafePath: it is a link or no regular file, has a second hard link, belongs to another
            user, or can be written by others. It is not changed.
        OSError: it cannot be opened (open(2)).
    """
    access = os.O_RDWR if write else os.O_WRONLY if append else os.O_RDONLY
    flags = access | _FLAGS | (os.O_APPEND if append else 0)
    descriptor, is_new = _open(path, flags, create=create)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, descriptor)
        if is_new:
            _chmod(path, descriptor)  # The umask may have removed bits.
        else:
            found = os.fstat(descriptor)
            refuse(path, file_fault(found, user_id()))
            if found.st_mode & 0o077:
                _chmod(path, descriptor)
        if truncate and not is_new:
            os.ftruncate(descriptor, 0)
        if hasattr(os, "O_NONBLOCK"):
            os.set_blocking(descriptor, True)
        undo.pop_all()
    return descriptor


def open_log(path: Path) -> int:
    """Open a log file to append to it: a private file, a device or a pipe.

    A log may be sent to ``/dev/null`` or ``/dev/stderr``, which is a link to a terminal or a pipe.
    Only root can create a device. A pipe has to belong to this user or root, or be stdout or stderr
    of this process. The path is checked as by `check_ancestors`, but the group of a directory of
    root may write.

    Raises:
        UnsafePath: as for `open_private`; or another user can write to the pipe or a directory.
        OSError: it cannot be opened (open(2)), such as a pipe without a reader.
    """
    check_path(path, trusts_root_groups=True)
    with contextlib.suppress(FileNotFoundError):
        if _is_stream(path, path.stat()):
            # Non-blocking: a pipe without a reader is an error.
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
    """Whether it is a device or a pipe; raises for a pipe of another user."""
    if stat.S_ISFIFO(found.st_mode):
        if not _is_standard_stream(found):
            refuse(path, pipe_fault(found, user_id()))
        return True
    return stat.S_ISCHR(found.st_mode)


def _is_standard_stream(found: os.stat_result) -> bool:
    for descriptor in _STANDARD_STREAMS:
        with contextlib.suppress(OSError):  # It is closed.
            if os.path.samestat(found, os.fstat(descriptor)):
                return True
    return False


def check_private_file(path: Path) -> None:
    """Raise for a file that `open_private` refuses, for libraries that open it by name.

    A missing file is valid. Its directory has to be safe, or the file may change after the check.

    Raises:
        UnsafePath: as for `open_private`.
        OSError: it cannot be examined (lstat(2)).
    """
    with contextlib.suppress(FileNotFoundError):
        refuse(path, file_fault(path.lstat(), user_id()))


def _open(path: Path, flags: int, *, create: bool) -> tuple[int, bool]:
    """Return a descriptor, and whether this call has created the file."""
    if not _NOFOLLOW and path.is_symlink():  # Windows
        raise make_unsafe_error(path, "is a symbolic link, not a regular file: remove it")
    while True:
        with contextlib.suppress(FileExistsError):
            if create:
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, _MODE), True
        try:
            return os.open(path, flags), False
        except FileNotFoundError:
            if not create:
                raise
            # Removed between the two calls, as by another process of this user: try again.
        except OSError as error:
            with contextlib.suppress(FileNotFoundError):
                # ELOOP, EMLINK or EFTYPE for a link; ENXIO for a socket; EISDIR.
                if not stat.S_ISREG((found := path.lstat()).st_mode):
                    raise make_unsafe_error(path, file_fault(found, user_id()) or "") from error
            raise


def _chmod(path: Path, descriptor: int) -> None:
    if not hasattr(os, "fchmod"):  # Windows before Python 3.13; without effect later.
        return
    try:
        os.fchmod(descriptor, _MODE)
    except OSError as error:  # A file system without modes, such as FAT.
        raise make_unsafe_error(
            path,
            f"cannot be kept from other users ({error.strerror}): choose a directory on a file "
            "system that keeps permissions",
        ) from error
