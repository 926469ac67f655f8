"""What begins and how it ends, noted beside a journal: sooner than that can be written.

A note outlives this process, though no power cut until it is `NoteFile.sync`-ed. So a task is told
to begin as soon as it is noted, and that short ones have ended as soon as that is on disk; the
journal is written later, for many of them together.

The first 512 bytes are one disk sector, which is written whole or not at all: the `HEADER` line
with the mark of the journal's latest commit and the size of the file; at byte 256 the `SYNCED`
line with the length of the notes that are on disk. Notes follow, one a line, and `NO_MORE`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import zlib
from pathlib import Path
from typing import Final, NamedTuple

from zmqruntime.execution.journal.mark import Mark
from zmqruntime.transport.lowlevel import open_private

__all__ = [
    "END",
    "FIRST_NOTE",
    "HEADER",
    "NO_MORE",
    "PREPARED",
    "START",
    "SYNCED",
    "SYNCED_AT",
    "TAKEN_BACK",
    "EndNote",
    "NoteFile",
    "StartNote",
]

if sys.platform == "darwin":
    import fcntl

_log = logging.getLogger("zmqruntime.server")

# For some hundred tasks between two commits. Taken from the start, so no full disk matters.
_ROOM_BYTES: Final = 2**17
# Of that, for what is taken back, and the mark of a commit that begins.
_RESERVE_BYTES: Final = 2**13
_MAX_NOTE_BYTES: Final = 2**12

FIRST_NOTE: Final = 512
SYNCED_AT: Final = 256
# Behind the last note. Long enough that no damaged note is taken for it.
NO_MORE: Final = b"no more\n"

# What a line tells of.
HEADER, SYNCED, START, END, TAKEN_BACK, PREPARED = b"H", b"Y", b"S", b"E", b"T", b"P"


class StartNote(NamedTuple):
    """The start of an attempt."""

    ticket: int
    attempt: int
    submitted_at: float
    started_at: float
    request: bytes = b""
    """Of an execution that is in no journal yet."""


class EndNote(NamedTuple):
    """The end of an attempt that was noted, and whose task has returned."""

    ticket: int
    ended: int
    """Its place among those that have ended."""
    sequence: int
    finished_at: float
    result: bytes


class NoteFile:
    """The notes since the journal was written last. It is as if there were none where it fails.

    Each bears the mark of the journal as that was written last. What was noted beside another
    journal, or before a commit, bears another one, and is no note, however long it lies there.

    Args:
        path: the file. It is made by the first `begin_anew`.
        mark: that of the journal's latest commit.
        end: where the notes of that mark end, if there are any; None: there are none.
    """

    def __init__(self, path: Path, mark: Mark, end: int | None = None) -> None:
        self.path = path
        self._text = str(mark)
        self._end = end or FIRST_NOTE
        self._is_begun = end is not None
        """Whether the file bears the mark."""
        self._file: int | None = None
        self._room = _ROOM_BYTES
        self._may_be_synced = True

    def open(self) -> None:
        """Open the file, made with all its room when there is none.

        Raises:
            OSError: it cannot be opened, or the disk has no room for it.
        """
        if self._file is not None:
            return
        file = open_private(self.path, write=True, create=True)
        try:
            self._room = max(_ROOM_BYTES, size := os.lseek(file, 0, os.SEEK_END))
            missing = self._room - size
            if os.write(file, bytes(missing)) != missing:
                raise OSError(f"no room for {self._room} bytes in {self.path}")
        except OSError:
            os.close(file)
            raise
        self._file = file

    def add(self, note: StartNote | EndNote) -> bool:
        """Note something; False: what it tells has to be in the journal before it is acted on."""
        *_, content = note
        kind = START if isinstance(note, StartNote) else END
        if len(content) > _MAX_NOTE_BYTES or b"\n" in content:
            return False
        return self._add(kind, note[:-1], content)

    def take_back(self, ticket: int) -> None:
        """Note that something was not accepted after all, though it had begun."""
        if not self._add(TAKEN_BACK, (ticket, 0, 0, 0.0), b"", reserve=_RESERVE_BYTES // 8):
            _log.warning(
                "%s cannot be written: a task that was refused is known to the next server if "
                "this one is killed before its journal can be written again",
                self.path,
            )

    def sync(self) -> bool:
        """Have what was noted outlive a power cut, too; False: it may not."""
        if not self._may_be_synced or self._file is None:
            return False
        try:
            _sync(self._file)
        except OSError:
            return False
        # Only now: a power cut must not leave the length of notes that are not there.
        return self._put(SYNCED_AT, self._compose(SYNCED, (self._end, 0, 0, 0), b""))

    def prepare(self, mark: Mark) -> None:
        """Note the mark of the commit that begins now.

        A kill between the commit and `begin_anew` is so told from notes that were replaced.

        Raises:
            OSError: it cannot be written.
        """
        self.open()
        if not self._is_begun:  # What lies there is of no commit.
            self._write_header()
        line = self._compose(PREPARED, (0, 0, 0, 0), str(mark).encode("ascii"))
        if not self._put(self._end, line + NO_MORE):
            raise OSError(f"{self.path} cannot be written")

    def begin_anew(self, mark: Mark) -> None:
        """Let the next notes replace these: the journal has what they tell, and a new mark."""
        self._text = str(mark)
        self._end = FIRST_NOTE
        self._is_begun = False  # Where this fails, nothing is noted until it works.
        with contextlib.suppress(OSError):
            self._write_header()

    def sync_header(self) -> None:
        """Have the mark and the file itself, with all its room, outlive a power cut.

        Raises:
            OSError: they may not.
        """
        assert self._file is not None
        _sync(self._file)
        try:
            _sync_directory(self.path.parent)
        except OSError:  # Some file systems know no sync of a directory.
            self._may_be_synced = False

    def close(self, *, forget: bool) -> None:
        """Give the file back; ``forget``: the journal has all that is noted."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if forget:
            with contextlib.suppress(OSError):  # Its notes bear an old mark, and are none.
                self.path.unlink()

    def _write_header(self) -> None:
        header = self._compose(HEADER, (self._room, 0, 0, 0), b"").ljust(FIRST_NOTE, b"\0")
        if not self._put(0, header + NO_MORE):
            raise OSError(f"{self.path} cannot be written")
        self._is_begun = True

    def _compose(self, kind: bytes, numbers: tuple[float, ...], content: bytes) -> bytes:
        head = f"{self._text} {' '.join(map(str, numbers))} ".encode("ascii")
        words = b"%b %b%b" % (kind, head, content)
        return b"%08x %b\n" % (zlib.crc32(words), words)

    def _add(
        self,
        kind: bytes,
        numbers: tuple[float, ...],
        content: bytes,
        reserve: int = _RESERVE_BYTES,
    ) -> bool:
        if not self._is_begun:
            return False
        line = self._compose(kind, numbers, content)
        if self._end + len(line) >= self._room - reserve:
            return False
        if not self._put(self._end, line + NO_MORE):
            return False
        self._end += len(line)
        return True

    def _put(self, at: int, content: bytes) -> bool:
        """Return whether all of it could be written: the disk may be full, or fail."""
        if self._file is None:
            return False
        try:
            return _write_at(self._file, at, content) == len(content)
        except OSError:
            return False


def _write_at(file: int, at: int, content: bytes) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(file, content, at)
    os.lseek(file, at, os.SEEK_SET)  # Windows
    return os.write(file, content)


def _sync(file: int) -> None:
    if sys.platform == "darwin":  # A plain sync leaves data in the disk's own cache there.
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(file)
    else:
        os.fsync(file)


def _sync_directory(path: Path) -> None:
    """Have a file that was made there be there after a power cut."""
    if sys.platform != "win32":  # It syncs a directory by itself.
        directory = os.open(path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
