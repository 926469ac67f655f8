"""What begins, noted beside a journal: sooner than it can be written to the journal itself.

A note outlives this process, though not a power cut. So a task is told to begin as soon as it is
noted, and the journal is written while it runs, or even the next ones.
"""

from __future__ import annotations

import logging
import os
import zlib
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Note", "NoteFile"]

_log = logging.getLogger("zmqruntime.server")

_BINARY: Final = getattr(os, "O_BINARY", 0)
# More than there is time for between two commits. Taken from the start, so no full disk matters.
_ROOM_BYTES: Final = 2**16
# Of that, for what is taken back.
_RESERVE_BYTES: Final = 2**13
_MAX_NOTE_BYTES: Final = 2**12
# Behind the last note is an empty one.
_NO_MORE: Final = b"\n"


class Note(NamedTuple):
    """The start of an attempt."""

    ticket: int
    attempt: int
    submitted_at: float
    started_at: float
    request: bytes = b""
    """Of an execution that is in no journal yet."""


class NoteFile:
    """The notes since the journal was written last. It is as if there were none where it fails.

    Each bears the mark of the journal as that was written last. What was noted beside another
    journal, or before a commit, bears another one, and is no note, however long it lies there.

    Args:
        path: the file; made when there is none.
        mark: that of the journal now, in ASCII; no other journal has it, nor this one later.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, mark: str) -> None:
        self._path = path
        self._mark = mark
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
        return len(note.request) <= _MAX_NOTE_BYTES and self._add(note, _RESERVE_BYTES)

    def take_back(self, ticket: int) -> None:
        """Note that something was not accepted after all, though it had begun."""
        if not self._add(Note(ticket, 0, 0.0, 0.0)):
            _log.warning(
                "%s cannot be written: a task that was refused is known to the next server if "
                "this one is killed before its journal can be written again",
                self._path,
            )

    def begin_anew(self, mark: str) -> None:
        """Let the next notes replace these: the journal has what they tell, and a new mark."""
        self._mark = mark
        self._end = 0

    def read(self) -> list[Note]:
        """Return what there is, perhaps noted by a process that has died."""
        os.lseek(self._file, 0, os.SEEK_SET)
        notes: list[Note] = []
        self._end = 0
        for line in os.read(self._file, _ROOM_BYTES).split(b"\n"):
            note = _parse(self._mark, line)
            if note is None:
                break  # There are no more.
            self._end += len(line) + 1
            if note.attempt:
                notes.append(note)
            else:
                notes = [other for other in notes if other.ticket != note.ticket]
        return notes

    def close(self, *, forget: bool) -> None:
        """Give the file back; ``forget``: the journal has all that is noted."""
        os.close(self._file)
        if forget:
            self._path.unlink(missing_ok=True)

    def _add(self, note: Note, reserve: int = 0) -> bool:
        words = f"{self._mark} {' '.join(map(str, note[:-1]))} ".encode("ascii") + note.request
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


def _parse(mark: str, line: bytes) -> Note | None:
    """Return the note that a line is; None: of another mark, or not written to its end."""
    checksum, _, words = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(words):
            return None
        its_mark, ticket, attempt, submitted_at, started_at, request = words.split(b" ", 5)
        if its_mark != mark.encode("ascii"):
            return None
        return Note(int(ticket), int(attempt), float(submitted_at), float(started_at), request)
    except ValueError:
        return None
