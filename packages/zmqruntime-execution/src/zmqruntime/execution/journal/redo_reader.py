"""Reads the notes that lie beside a journal, and finds where they are damaged.

A kill leaves all that was noted. A power cut leaves what was synced, whose length the `SYNCED` line
has; behind that, a last line that is not whole is what it may leave.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from zmqruntime.execution.journal.mark import Mark
from zmqruntime.execution.journal.redo_log import (
    END,
    FIRST_NOTE,
    HEADER,
    NO_MORE,
    PREPARED,
    START,
    SYNCED,
    SYNCED_AT,
    TAKEN_BACK,
    EndNote,
    StartNote,
)
from zmqruntime.transport.lowlevel import open_private

__all__ = ["FoundNotes", "read_notes"]

_LONGEST_BYTES = 2**24


@dataclass(slots=True)
class FoundNotes:
    """What a file of notes has."""

    mark: Mark
    """Of the commit behind which they were noted."""
    notes: list[StartNote | EndNote] = field(default_factory=list)
    prepared: Mark | None = None
    """Of a commit that was begun behind them, and may be complete."""
    end: int = FIRST_NOTE
    damage: str | None = None
    """What is lost."""
    torn: str | None = None
    """What a kill or a power cut in the middle of a write may have left."""


class _Line:
    """One line of notes.

    Raises:
        ValueError: it is not as it was written.
    """

    __slots__ = ("content", "kind", "mark", "numbers")

    def __init__(self, line: bytes) -> None:
        checksum, _, words = line.partition(b" ")
        if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(words):
            raise ValueError("a line with a wrong checksum")
        self.kind, mark, *self.numbers, self.content = words.split(b" ", 6)
        self.mark = Mark.parse(mark.decode("ascii"))

    def to_note(self) -> StartNote | EndNote:
        ticket, second, third, fourth = self.numbers
        if self.kind == START:
            times = float(third), float(fourth)
            return StartNote(int(ticket), int(second), *times, self.content)
        return EndNote(int(ticket), int(second), int(third), float(fourth), self.content)


def read_notes(path: Path) -> FoundNotes | None:
    """Return what is noted; None: there is no such file, or nothing in it yet.

    Raises:
        ValueError: it is damaged at its beginning, or no file of notes.
        OSError: it cannot be read.
    """
    try:
        content = _read(path)
    except FileNotFoundError:
        return None
    if not content.strip(b"\0"):
        return None
    header = _parse(content[:SYNCED_AT].split(b"\n")[0])
    if header is None or header.kind != HEADER:
        raise ValueError(f"{path.name} is damaged at its beginning, or no file of notes")
    found = FoundNotes(header.mark)
    _read_lines(path.name, content, found)
    synced = _parse(content[SYNCED_AT:FIRST_NOTE].split(b"\n")[0])
    room = int(header.numbers[0])
    if len(content) < room:
        found.damage = f"{path.name} was cut from {room} to {len(content)} bytes"
    elif synced is None or synced.kind != SYNCED:
        if content[SYNCED_AT:FIRST_NOTE].strip(b"\0"):
            found.torn = f"{path.name} is damaged at byte {SYNCED_AT}"
    elif synced.mark == found.mark and found.end < int(synced.numbers[0]):
        found.damage = f"{path.name} is damaged at byte {found.end}"
    return found


def _read_lines(name: str, content: bytes, found: FoundNotes) -> None:
    lines = content[FIRST_NOTE:].split(b"\n")
    for number, text in enumerate(lines):
        if text == NO_MORE[:-1]:
            break
        line = _parse(text)
        if line is None:
            rest = map(_parse, lines[number + 1 :])
            if any(other is not None and other.mark == found.mark for other in rest):
                found.damage = f"{name} is damaged at byte {found.end}, and notes follow"
            else:
                found.torn = f"{name} is not whole at byte {found.end}"
            break
        if line.mark != found.mark:
            break  # What lay there before.
        if line.kind == PREPARED:
            found.prepared = Mark.parse(line.content.decode("ascii"))
            break
        found.end += len(text) + 1
        note = line.to_note()
        if line.kind == TAKEN_BACK:
            found.notes = [other for other in found.notes if other.ticket != note.ticket]
        elif line.kind in (START, END):
            found.notes.append(note)


def _parse(text: bytes) -> _Line | None:
    try:
        return _Line(text)
    except ValueError:
        return None


def _read(path: Path) -> bytes:
    file = open_private(path)
    try:
        parts: list[bytes] = []
        while part := os.read(file, _LONGEST_BYTES):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)
