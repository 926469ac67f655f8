"""Detects that a journal's files were removed, replaced or truncated while a server runs."""

from __future__ import annotations

import os
from pathlib import Path

from zmqruntime.execution.errors import CommitFailed

__all__ = ["FileWatch"]


class FileWatch:
    """Compares files with what was opened, by inode and size.

    Args:
        paths: the files, which are open.
    """

    def __init__(self, *paths: Path) -> None:
        self._files = [_WatchedFile(path) for path in paths]

    def add(self, path: Path) -> None:
        """Watch one more file, which is open."""
        if all(file.path != os.fspath(path) for file in self._files):
            self._files.append(_WatchedFile(path))

    def check(self) -> None:
        """Compare inode and size of each file, before a write.

        Raises:
            CommitFailed: a file was removed, replaced or truncated.
        """
        for file in self._files:
            if (size := file.measure()) < file.size:
                raise file.lost_error(f"was truncated from {file.size} to {size} bytes")

    def accept_sizes(self) -> None:
        """Compare the inode of each file, and expect its present size, after a write.

        Raises:
            CommitFailed: a file was removed or replaced, and the write is lost with it.
        """
        for file in self._files:
            file.size = file.measure()


class _WatchedFile:
    __slots__ = ("_inode", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path = os.fspath(path)
        found = os.lstat(path)
        self._inode = found.st_dev, found.st_ino
        self.size = found.st_size

    def measure(self) -> int:
        """Return the size of the file, if it is the one that was opened."""
        try:
            found = os.lstat(self.path)
        except OSError as error:
            raise self.lost_error(f"is missing ({error.strerror or error})") from error
        if (found.st_dev, found.st_ino) != self._inode:
            raise self.lost_error("was replaced by another file")
        return found.st_size

    def lost_error(self, what: str) -> CommitFailed:
        return CommitFailed(
            f"the journal's file {self.path} {what} while the server runs: restore it, or fetch "
            "the results from the running server and restart it"
        )
