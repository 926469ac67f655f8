"""Redo log: starts and ends of tasks since the latest commit, in a file beside the database.

A transaction waits for the disk. An entry does not: it is in the system's page cache when `append`
returns, and survives the death of this process. So a task is handed to a worker as soon as its
start is logged, and the result of a short task goes out after one sync of this file; the database
is written later, for many tasks together.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Final

from zmqruntime.execution.journal.commit_id import CommitId
from zmqruntime.execution.journal.redo_format import (
    END,
    FIRST_ENTRY_AT,
    HEADER,
    PREPARED,
    REVERT,
    START,
    SYNCED,
    SYNCED_AT,
    TERMINATOR,
    RedoEntry,
    RedoLogContent,
    StartEntry,
    encode_line,
    parse_redo_log,
)
from zmqruntime.transport.lowlevel import open_private

__all__ = ["RedoLog", "read_redo_log"]

if sys.platform == "darwin":
    import fcntl

_log = logging.getLogger("zmqruntime.server")

# Some hundred tasks between two commits. Allocated in advance, so that a full disk is no failure.
_FILE_BYTES: Final = 2**17
# The part of it that is kept for `append_revert` and `prepare`.
_RESERVE_BYTES: Final = 2**13
_MAX_ENTRY_BYTES: Final = 2**12
_READ_BYTES: Final = 2**24


class RedoLog:
    """Appends entries that follow the latest commit of the database.

    Entries of an earlier commit, or of another journal, have another commit id and are ignored. So
    the file is overwritten from its beginning, and not truncated.

    Args:
        path: the file, which `open` creates.
        commit_id: of the latest commit.
        end: where the entries of this commit end; None: the file has none.
    """

    def __init__(self, path: Path, commit_id: CommitId, end: int | None = None) -> None:
        self.path = path
        self._commit_id = str(commit_id)
        self._end = end or FIRST_ENTRY_AT
        self._has_header = end is not None
        """Whether the file has the header of this commit."""
        self._file: int | None = None
        self._size = _FILE_BYTES
        self._can_sync = True

    def open(self) -> None:
        """Open the file; create it with its full size when it is missing.

        Raises:
            OSError: the file cannot be opened, or the disk has no room for it.
        """
        if self._file is not None:
            return
        file = open_private(self.path, write=True, create=True)
        try:
            self._size = max(_FILE_BYTES, size := os.lseek(file, 0, os.SEEK_END))
            missing = self._size - size
            if os.write(file, bytes(missing)) != missing:
                raise OSError(f"no room on the disk for {self._size} bytes in {self.path}")
        except OSError:
            os.close(file)
            raise
        self._file = file

    def append(self, entry: RedoEntry) -> bool:
        """Append an entry; False: the change has to be committed before it takes effect.

        An entry is refused when it is too long, when the file is full, or when the write failed.
        """
        *_, content = entry
        kind = START if isinstance(entry, StartEntry) else END
        if len(content) > _MAX_ENTRY_BYTES or b"\n" in content:
            return False
        return self._append(kind, entry[:-1], content)

    def append_revert(self, ticket: int) -> None:
        """Cancel the entries of an execution that was refused after its start."""
        if not self._append(REVERT, (ticket, 0, 0, 0.0), b"", reserve=_RESERVE_BYTES // 8):
            _log.warning(
                "cannot write %s: if this server is killed before its next commit, the next server "
                "recovers an execution that was refused (ticket %d)",
                self.path,
                ticket,
            )

    def sync(self) -> bool:
        """Sync the entries to the disk; False: they may not survive a power cut."""
        if not self._can_sync or self._file is None:
            return False
        try:
            _sync(self._file)
        except OSError:
            return False
        # After the sync: a power cut must not leave an end behind entries that are lost.
        return self._write(SYNCED_AT, encode_line(SYNCED, self._commit_id, (self._end, 0, 0, 0)))

    def prepare(self, commit_id: CommitId) -> None:
        """Log the id of a commit before it is made.

        With it, recovery distinguishes a kill between commit and `reset` from a replaced file.

        Raises:
            OSError: the file cannot be written.
        """
        self.open()
        if not self._has_header:
            self._write_header()
        zeros = (0, 0, 0, 0)
        line = encode_line(PREPARED, self._commit_id, zeros, str(commit_id).encode("ascii"))
        if not self._write(self._end, line + TERMINATOR):
            raise self._write_error()

    def reset(self, commit_id: CommitId) -> None:
        """Discard all entries after a commit, which has them."""
        self._commit_id = str(commit_id)
        self._end = FIRST_ENTRY_AT
        self._has_header = False  # After a failure, `append` refuses until `prepare` succeeds.
        with contextlib.suppress(OSError):
            self._write_header()

    def sync_header(self) -> None:
        """Sync the file, its size and its directory, after the file was created.

        Raises:
            OSError: the file may not survive a power cut.
        """
        assert self._file is not None
        _sync(self._file)
        try:
            _sync_directory(self.path.parent)
        except OSError:  # Some file systems cannot sync a directory.
            self._can_sync = False

    def close(self, *, delete: bool) -> None:
        """Close the file, and delete it when the database has all entries."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if delete:
            with contextlib.suppress(OSError):  # Harmless: its entries are of an old commit.
                self.path.unlink()

    def _write_header(self) -> None:
        header = encode_line(HEADER, self._commit_id, (self._size, 0, 0, 0))
        if not self._write(0, header.ljust(FIRST_ENTRY_AT, b"\0") + TERMINATOR):
            raise self._write_error()
        self._has_header = True

    def _append(
        self,
        kind: bytes,
        numbers: tuple[float, ...],
        content: bytes,
        reserve: int = _RESERVE_BYTES,
    ) -> bool:
        if not self._has_header:
            return False
        line = encode_line(kind, self._commit_id, numbers, content)
        if self._end + len(line) >= self._size - reserve:
            return False
        if not self._write(self._end, line + TERMINATOR):
            return False
        self._end += len(line)
        return True

    def _write(self, at: int, content: bytes) -> bool:
        """Return whether all bytes were written: the disk may be full, or fail."""
        if self._file is None:
            return False
        try:
            return _write_at(self._file, at, content) == len(content)
        except OSError:
            return False

    def _write_error(self) -> OSError:
        return OSError(f"cannot write {self.path}")


def read_redo_log(path: Path) -> RedoLogContent | None:
    """Return the entries of a redo log; None: the file is missing or empty.

    Raises:
        ValueError: its header is damaged, or it is not a redo log.
        OSError: it cannot be read.
    """
    try:
        file = open_private(path)
    except FileNotFoundError:
        return None
    try:
        parts: list[bytes] = []
        while part := os.read(file, _READ_BYTES):
            parts.append(part)
    finally:
        os.close(file)
    return parse_redo_log(path.name, b"".join(parts))


def _write_at(file: int, at: int, content: bytes) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(file, content, at)
    os.lseek(file, at, os.SEEK_SET)  # Windows
    return os.write(file, content)


def _sync(file: int) -> None:
    if sys.platform == "darwin":  # A plain fsync leaves data in the disk's cache there.
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(file)
    else:
        os.fsync(file)


def _sync_directory(path: Path) -> None:
    """Make the creation of a file in the directory durable."""
    if sys.platform != "win32":  # Windows does so when the file is synced.
        directory = os.open(path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
