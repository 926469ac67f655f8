"""What begins, noted beside a journal: sooner than it can be written to the journal itself.

A note outlives this process, though not a power cut. So a task is told to begin as soon as it is
noted, and the journal is written while it runs, or even the next ones.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Note", "NoteFile"]

_BINARY: Final = getattr(os, "O_BINARY", 0)
# More than there is time for between two commits. Taken from the start, so no full disk matters.
_ROOM_BYTES: Final = 2**16
_MAX_NOTE_BYTES: Final = 2**12
# Behind the last note is an empty one.
_NO_MORE: Final = b"\n"


class Note(NamedTuple):
    """The start of an attempt.

    What it is of is named so that no other execution is taken for it, in no journal: a note may
    lie there longer than what it tells of.
    """

    execution_id: str
    submitted_at: float
    attempt: int
    started_at: float
    ticket: int
    request: bytes = b""
    """Of an execution that is in no journal yet."""


class NoteFile:
    """The notes since the journal was written last. It is as if there were none where it fails.

    Args:
        path: the file; made when there is none.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
        try:
            size = os.lseek(self._file, 0, os.SEEK_END)
            os.write(self._file, bytes(max(0, _ROOM_BYTES - size)))
        except BaseException:
            os.close(self._file)
            raise

    def add(self, note: Note) -> bool:
        """Note a start; False: what it tells has to be in the journal before it is acted on."""
        if len(note.request) > _MAX_NOTE_BYTES:
            return False
        words = " ".join(map(str, note[:-1])).encode("ascii") + b" " + note.request
        line = b"%08x %b\n" % (zlib.crc32(words), words)
        if self._end + len(line) >= _ROOM_BYTES or not self._put(self._end, line):
            return False
        self._end += len(line)
        return True

    def take_back(self, execution_id: str, submitted_at: float) -> bool:
        """Note that something was not accepted after all, though it had begun."""
        return self.add(Note(execution_id, submitted_at, 0, 0.0, 0))

    def cut(self) -> None:
        """Drop all notes: the journal has what they tell. Where that fails it is done next time."""
        if self._end and self._put(0, b""):
            self._end = 0

    def read(self) -> list[Note]:
        """Return what was noted since the last `cut`, perhaps by a process that has died."""
        os.lseek(self._file, 0, os.SEEK_SET)
        notes: list[Note] = []
        self._end = 0
        for line in os.read(self._file, _ROOM_BYTES).split(b"\n"):
            note = _parse(line)
            if note is None:
                break  # There are no more.
            self._end += len(line) + 1
            if note.attempt:
                notes.append(note)
            else:
                notes = [other for other in notes if other[:2] != note[:2]]
        return notes

    def close(self, *, forget: bool) -> None:
        """Give the file back; ``forget``: the journal has all that is noted."""
        os.close(self._file)
        if forget:
            self._path.unlink(missing_ok=True)

    def _put(self, at: int, line: bytes) -> bool:
        """Return whether all of it could be written: the disk may be full, or fail."""
        content = line + _NO_MORE
        try:
            return _write_at(self._file, at, content) == len(content)
        except OSError:
            return False


def _write_at(file: int, at: int, content: bytes) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(file, content, at)
    os.lseek(file, at, os.SEEK_SET)  # Windows
    return os.write(file, content)


def _parse(line: bytes) -> Note | None:
    """Return the note that a line is; None for one that was not written to its end."""
    mark, _, words = line.partition(b" ")
    try:
        if int(mark, 16) != zlib.crc32(words):
            return None
        name, submitted_at, attempt, started_at, ticket, request = words.split(b" ", 5)
        return Note(
            name.decode("ascii"),
            float(submitted_at),
            int(attempt),
            float(started_at),
            int(ticket),
            request,
        )
    except ValueError:
        return None
