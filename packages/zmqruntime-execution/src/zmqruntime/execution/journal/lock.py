"""The files of a journal while a server holds it: whose they are, and whether they are still there.

SQLite's lock is on the database file itself, under whatever name it is opened. Where locks are
POSIX locks, a process loses all that it has on a file by closing any descriptor of that file: so
a file that this process holds is known by its inode, and is not opened a second time.
https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from zmqruntime.execution.errors import CommitFailed, JournalInUse, JournalUnusable
from zmqruntime.transport import EndpointError, UnsafePath
from zmqruntime.transport.lowlevel import open_private

__all__ = ["HeldJournal", "check_not_held", "check_writable", "claim", "in_use"]

_Inode = tuple[int, int]

# SQLite's lock decides; this keeps the file from being opened a second time.
_held: Final[set[_Inode]] = set()


def in_use(path: Path) -> JournalInUse:
    """Return what to raise for a journal that another server has open."""
    try:
        with os.fdopen(open_private(_owner_path(path)), encoding="ascii") as file:
            owner = file.read() or "another server"
    except (OSError, UnicodeDecodeError):
        owner = "another server"  # It was opened under another name.
    return JournalInUse(
        f"the journal {path} is in use by {owner}: end that server first, or give this one a "
        "journal of its own"
    )


def check_not_held(path: Path) -> None:
    """Refuse a journal that another server of this process has open, without opening it.

    Raises:
        JournalInUse: one has.
    """
    try:
        found = _inode(path.stat())
    except OSError:
        return  # There is none yet.
    if found in _held:
        raise in_use(path)


@contextlib.contextmanager
def claim(path: Path) -> Iterator[None]:
    """Let no other server make or open a journal within.

    SQLite's lock comes too late for that: there is none before there is a database.

    Raises:
        JournalInUse: another server is about to open it.
        JournalUnusable: the lock file beside it cannot be locked.
    """
    # Not above: a worker needs none of it.
    import filelock

    from zmqruntime.transport.lowlevel import acquire_lock

    file = path.with_name(f"{path.name}.lock")
    try:
        lock = acquire_lock(file, timeout=0)
    except filelock.Timeout as error:
        raise in_use(path) from error
    except UnsafePath:
        raise
    except EndpointError as error:
        raise JournalUnusable(
            f"the lock file {file} cannot be locked: {error.__cause__}. Name a journal on a local "
            "disk"
        ) from error
    try:
        yield
    finally:
        lock.release()
        # What another server has opened of it, it locks in vain: the journal is held by then.
        with contextlib.suppress(OSError):  # On Windows it stays while another has it open.
            file.unlink()


def check_writable(files: Iterable[Path], directory: Path) -> None:
    """Refuse files that cannot be written, before anything is done to one of them.

    The owner's mode bit counts for root as well: a file that was made read-only is meant so.

    Raises:
        JournalUnusable: one cannot be.
    """
    reason = _why_unwritable(directory, os.W_OK | os.X_OK)
    where = directory
    for path in files:
        if reason is None and path.exists():
            reason, where = _why_unwritable(path, os.W_OK), path
    if reason is not None:
        raise JournalUnusable(
            f"the journal needs to write {where}, which {reason}: make it writable, or name "
            "another place"
        )


def _why_unwritable(path: Path, access: int) -> str | None:
    if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
        return "is on a file system that is mounted read-only"
    mode = path.stat().st_mode
    # On Windows the attribute of a directory says something else.
    is_meant = sys.platform != "win32" or path.is_file()
    if (is_meant and not mode & 0o200) or not os.access(path, access):
        return f"is read-only (mode {mode & 0o7777:04o})"
    return None


class HeldJournal:
    """Notes that this process has a journal, and compares its files with what was opened.

    Args:
        path: the database, which is open and locked by SQLite.
        log: its write-ahead log, which is open.
    """

    def __init__(self, path: Path, log: Path) -> None:
        self._path = path
        found = os.lstat(path)
        self._inode = _inode(found)
        self._files = [_Watched(path), _Watched(log)]
        _held.add(self._inode)
        # Beside the database: on Windows nobody can read a file that is locked.
        with contextlib.suppress(OSError):  # A full disk: others cannot see who has it.
            owner = open_private(_owner_path(path), write=True, create=True, truncate=True)
            with os.fdopen(owner, "w", encoding="ascii") as file:
                file.write(f"process {os.getpid()}")

    def watch(self, path: Path) -> None:
        """Compare one more file, which is open."""
        if all(file.path != os.fspath(path) for file in self._files):
            self._files.append(_Watched(path))

    def check(self) -> None:
        """Find out whether each file is the one that was opened, and no shorter.

        Raises:
            CommitFailed: one is not, so what is written there is lost.
        """
        for file in self._files:
            if (size := file.look()) < file.size:
                raise file.lost(f"was cut from {file.size} to {size} bytes")

    def confirm(self) -> None:
        """Find out whether each file is the one that was opened, behind a write to it.

        Raises:
            CommitFailed: one is not, so what was written there is lost.
        """
        for file in self._files:
            file.size = file.look()

    def release(self) -> None:
        """Let the next server have it. Its database is closed."""
        _held.discard(self._inode)
        with contextlib.suppress(OSError):
            _owner_path(self._path).unlink(missing_ok=True)


class _Watched:
    __slots__ = ("_inode", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)
        found = os.lstat(path)
        self._inode = _inode(found)
        self.size = found.st_size

    def look(self) -> int:
        """Return the size of the file, which is the one that it was."""
        try:
            found = os.lstat(self.path)
        except OSError as error:
            raise self.lost(f"is gone ({error.strerror or error})") from error
        if (found.st_dev, found.st_ino) != self._inode:
            raise self.lost("was replaced by another file")
        return found.st_size

    def lost(self, what: str) -> CommitFailed:
        return CommitFailed(
            f"the journal's file {self.path} {what} while the server runs: put it back as it "
            "was; where that is not possible, fetch the results and restart the server"
        )


def _inode(found: os.stat_result) -> _Inode:
    return found.st_dev, found.st_ino


def _owner_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.owner")
