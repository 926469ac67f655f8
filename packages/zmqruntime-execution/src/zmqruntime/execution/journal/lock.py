"""Keeps a journal to one server: a lock while it is opened, and a registry while it is held.

SQLite's lock is on the database file, whatever path it was opened by. It is a POSIX lock: a process
that closes any descriptor of the file loses it. So this process identifies the journals that it
holds by inode, and does not open one of them a second time.
https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zmqruntime.execution.errors import JournalInUse, JournalUnusable
from zmqruntime.transport import EndpointError, UnsafePath
from zmqruntime.transport.lowlevel import open_private

__all__ = ["JournalHold", "check_not_held", "in_use_error", "opening_lock"]

_Inode = tuple[int, int]

_held: Final[set[_Inode]] = set()


def in_use_error(path: Path) -> JournalInUse:
    """Return the error for a journal that another server has open."""
    try:
        with os.fdopen(open_private(_owner_path(path)), encoding="ascii") as file:
            owner = file.read() or "another server"
    except (OSError, UnicodeDecodeError):
        owner = "another server"  # It opened the file by another path.
    return JournalInUse(
        f"the journal {path} is in use by {owner}: stop that server first, or use another file"
    )


def check_not_held(path: Path) -> None:
    """Refuse a journal that another server of this process has open, without opening it.

    Raises:
        JournalInUse: another server has it open.
    """
    try:
        found = _inode(path.stat())
    except OSError:
        return  # Missing: `create_journal` creates it.
    if found in _held:
        raise in_use_error(path)


@contextlib.contextmanager
def opening_lock(path: Path) -> Iterator[None]:
    """Exclude other servers that create or open the journal at the same time.

    SQLite's lock cannot: a missing database cannot be locked.

    Raises:
        JournalInUse: another server is about to open the journal.
        JournalUnusable: the lock file cannot be locked.
    """
    # Imported here: a worker imports this package, and locks nothing.
    import filelock

    from zmqruntime.transport.lowlevel import acquire_lock

    file = path.with_name(f"{path.name}.lock")
    try:
        lock = acquire_lock(file, timeout=0)
    except filelock.Timeout as error:
        raise in_use_error(path) from error
    except UnsafePath:
        raise
    except EndpointError as error:
        raise JournalUnusable(
            f"cannot lock the file {file}: {error.__cause__}. Use a journal on a local disk"
        ) from error
    try:
        yield
    finally:
        lock.release()
        # Harmless to a server that has opened the file already: SQLite's lock is held by now.
        with contextlib.suppress(OSError):  # Windows: another process has the file open.
            file.unlink()


class JournalHold:
    """Registers a journal as held by this process, for the errors of other servers.

    Args:
        path: the database, which is open and locked by SQLite.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = _inode(os.lstat(path))
        _held.add(self._inode)
        # A file of its own: on Windows a locked file cannot be read.
        with contextlib.suppress(OSError):  # On a full disk the error names no process.
            owner = open_private(_owner_path(path), write=True, create=True, truncate=True)
            with os.fdopen(owner, "w", encoding="ascii") as file:
                file.write(f"process {os.getpid()}")

    def release(self) -> None:
        """Allow another server to open the journal, whose database is closed."""
        _held.discard(self._inode)
        with contextlib.suppress(OSError):
            _owner_path(self._path).unlink(missing_ok=True)


def _inode(found: os.stat_result) -> _Inode:
    return found.st_dev, found.st_ino


def _owner_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.owner")
