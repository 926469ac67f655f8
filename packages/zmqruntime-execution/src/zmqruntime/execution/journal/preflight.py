"""Checks the paths of a journal before a file is created, opened or changed."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from zmqruntime.execution.errors import JournalUnusable
from zmqruntime.execution.journal.schema import has_journal_header
from zmqruntime.transport.lowlevel import check_private_file, check_safe_dir, open_private

__all__ = ["check_file_types", "check_journal_dir", "check_writable"]

# The files beside a journal: SQLite's, which opens them by name
# (https://www.sqlite.org/tempfiles.html), and those of this package; `RedoLog` checks its own.
_SUFFIXES: Final = (
    *("-wal", "-shm", "-journal"),
    *(".new", ".worker", ".owner", ".lock"),
)
_HEADER_BYTES: Final = 100


def check_journal_dir(journal: Path) -> None:
    """Refuse a directory in which another user could create, replace or remove files.

    A server runs the tasks of its journal as its own user. In a shared directory, other users
    could run tasks as that user. A missing directory is left to `JournalFile`.

    Args:
        journal: as it was configured: symbolic links in its path are checked, too.

    Raises:
        JournalUnusable: the directory, or one above it, is not private.
    """
    try:
        check_safe_dir(journal.parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise JournalUnusable(f"cannot use the journal {journal}: {error}") from error


def check_file_types(path: Path) -> None:
    """Refuse a path at which there is a file other than a journal, without writing to it.

    Raises:
        JournalUnusable: the file is not a journal.
        UnsafePath: it, or a file beside it, may belong to another user.
        OSError: it cannot be examined.
    """
    for suffix in _SUFFIXES:
        check_private_file(path.with_name(path.name + suffix))
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise JournalUnusable(f"the journal {path} is a symbolic link: use the path of its target")
    if not stat.S_ISREG(mode):  # A device would be replaced, a pipe would block.
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise JournalUnusable(f"the journal {path} is {kind}: use the path of a file")
    with os.fdopen(open_private(path), "rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:  # `create_journal` leaves no empty file.
        raise JournalUnusable(
            f"the journal {path} is an empty file: restore it from a backup if it was a journal, "
            "otherwise remove it"
        )
    if not has_journal_header(header):
        raise JournalUnusable(
            f"the file {path} is not a zmqruntime journal: use another path. The file was not "
            "changed"
        )


def check_writable(files: Iterable[Path], directory: Path) -> None:
    """Refuse files that are read-only, before one of them is changed.

    A read-only mode counts for root as well, though root could write.

    Raises:
        JournalUnusable: a file, or the directory, is read-only.
    """
    reason = _why_read_only(directory, os.W_OK | os.X_OK)
    where = directory
    for path in files:
        if reason is None and path.exists():
            reason, where = _why_read_only(path, os.W_OK), path
    if reason is not None:
        raise JournalUnusable(
            f"cannot write {where}, which the journal needs: it {reason}. Make it "
            "writable, or use another path"
        )


def _why_read_only(path: Path, access: int) -> str | None:
    if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
        return "is on a file system that is mounted read-only"
    mode = path.stat().st_mode
    # On Windows the attribute has another meaning for directories.
    has_mode = sys.platform != "win32" or path.is_file()
    if (has_mode and not mode & 0o200) or not os.access(path, access):
        return f"is read-only (mode {mode & 0o7777:04o})"
    return None
