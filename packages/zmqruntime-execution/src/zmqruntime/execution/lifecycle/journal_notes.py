"""What begins and how it ends, noted beside a journal: sooner than that can be written.

A note outlives this process, though no power cut until it is `NoteFile.sync`-ed. So a task is told
to begin as soon as it is noted, and that short ones have ended as soon as that is on disk; the
journal is written later, for many of them together.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import zlib
from pathlib import Path
from typing import Final, NamedTuple

from zmqruntime.transport.private_files import open_private

__all__ = ["EndNote", "NoteFile", "StartNote"]

if sys.platform == "darwin":
    import fcntl

_log = logging.getLogger("zmqruntime.server")

# For some hundred tasks between two commits. Taken from the start, so no full disk matters.
_ROOM_BYTES: Final = 2**17
# Of that, for what is taken back.
_RESERVE_BYTES: Final = 2**13
_MAX_NOTE_BYTES: Final = 2**12
# Behind the last note is an empty one.
_NO_MORE: Final = b"\n"


# What a line tells of.
_START, _END, _TAKEN_BACK = b"S", b"E", b"T"


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
        path: the file; made when there is none.
        mark: that of the journal now, in ASCII; no other journal has it, nor this one later.

    Raises:
        OSError: it cannot be opened; `UnsafePath` when it may be another user's.
    """

    def __init__(self, path: Path, mark: str) -> None:
        self._path = path
        self._mark = mark
        self._end = 0
        self._file = open_private(path, write=True, create=True)
        self._may_be_synced = True
        try:
            size = os.lseek(self._file, 0, os.SEEK_END)
            os.write(self._file, bytes(max(0, _ROOM_BYTES - size)))
            os.fsync(self._file)
            _sync_directory(path.parent)
        except OSError:  # Some file systems know no sync of a directory.
            self._may_be_synced = False

    def add(self, note: StartNote | EndNote) -> bool:
        """Note something; False: what it tells has to be in the journal before it is acted on."""
        *_, content = note
        kind = _START if isinstance(note, StartNote) else _END
        if len(content) > _MAX_NOTE_BYTES or b"\n" in content:
            return False
        return self._add(kind, note[:-1], content)

    def take_back(self, ticket: int) -> None:
        """Note that something was not accepted after all, though it had begun."""
        if not self._add(_TAKEN_BACK, (ticket, 0, 0, 0.0), b"", reserve=0):
            _log.warning(
                "%s cannot be written: a task that was refused is known to the next server if "
                "this one is killed before its journal can be written again",
                self._path,
            )

    def sync(self) -> bool:
        """Have what was noted outlive a power cut, too; False: it may not."""
        if not self._may_be_synced:
            return False
        try:
            _sync(self._file)
        except OSError:
            return False
        return True

    def begin_anew(self, mark: str) -> None:
        """Let the next notes replace these: the journal has what they tell, and a new mark."""
        self._mark = mark
        self._end = 0

    def read(self) -> list[StartNote | EndNote]:
        """Return what there is, perhaps noted by a process that has died."""
        os.lseek(self._file, 0, os.SEEK_SET)
        notes: list[StartNote | EndNote] = []
        self._end = 0
        for line in os.read(self._file, _ROOM_BYTES).split(b"\n"):
            parsed = _parse(self._mark, line)
            if parsed is None:
                break  # There are no more.
            self._end += len(line) + 1
            kind, note = parsed
            if kind == _TAKEN_BACK:
                notes = [other for other in notes if other.ticket != note.ticket]
            else:
                notes.append(note)
        return notes

    def close(self, *, forget: bool) -> None:
        """Give the file back; ``forget``: the journal has all that is noted."""
        os.close(self._file)
        if forget:
            with contextlib.suppress(OSError):  # Its notes bear an old mark, and are none.
                self._path.unlink()

    def _add(
        self,
        kind: bytes,
        numbers: tuple[float, ...],
        content: bytes,
        reserve: int = _RESERVE_BYTES,
    ) -> bool:
        head = f"{self._mark} {' '.join(map(str, numbers))} ".encode("ascii")
        words = b"%b %b%b" % (kind, head, content)
        line = b"%08x %b\n" % (zlib.crc32(words), words)
        if self._end + len(line) >= _ROOM_BYTES - reserve or not self._put(line):
            return False
        self._end += len(line)
        return True

    def _put(self, line: bytes) -> bool:
        """Return whether all of it could be written: the disk may be full, or fail."""
        content = line + _NO_MORE
        try:
            return _write_at(self._file, self._end, content) == len(content)
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


def _parse(mark: str, line: bytes) -> tuple[bytes, StartNote | EndNote] | None:
    """Return the note that a line is; None: of another mark, or not written to its end."""
    checksum, _, words = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(words):
            return None
        kind, its_mark, ticket, second, third, fourth, content = words.split(b" ", 6)
        if its_mark != mark.encode("ascii"):
            return None
        if kind == _START:
            times = float(third), float(fourth)
            return kind, StartNote(int(ticket), int(second), *times, content)
        return kind, EndNote(int(ticket), int(second), int(third), float(fourth), content)
    except ValueError:
        return None
