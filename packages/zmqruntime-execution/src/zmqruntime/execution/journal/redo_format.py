"""The format of a redo log: one line for each entry, with a checksum.

A line is ``CRC KIND COMMIT N N N N CONTENT``: the CRC-32 of the rest in hexadecimal, the kind, the
id of the commit that the entry follows, four numbers, and bytes without a newline.

The first 512 bytes are one disk sector, which is written whole or not at all. Byte 0 has the
`HEADER` line with the id of the latest commit and the size of the file, byte 256 the `SYNCED` line
with the end of the entries that were synced. The entries follow, then `TERMINATOR`.

A kill leaves all entries. A power cut leaves the synced entries, and behind them possibly a line
that is incomplete.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from zmqruntime.execution.journal.commit_id import CommitId

__all__ = [
    "END",
    "FIRST_ENTRY_AT",
    "HEADER",
    "PREPARED",
    "REVERT",
    "START",
    "SYNCED",
    "SYNCED_AT",
    "TERMINATOR",
    "EndEntry",
    "RedoEntry",
    "RedoLogContent",
    "StartEntry",
    "encode_line",
    "parse_redo_log",
]

FIRST_ENTRY_AT: Final = 512
SYNCED_AT: Final = 256
# Behind the last entry; too long to be the result of a damaged entry.
TERMINATOR: Final = b"no more\n"

# The kinds of lines.
HEADER, SYNCED, START, END, REVERT, PREPARED = b"H", b"Y", b"S", b"E", b"T", b"P"


class StartEntry(NamedTuple):
    """The start of an attempt."""

    ticket: int
    attempt: int
    submitted_at: float
    started_at: float
    request: bytes = b""
    """Of an execution that is not in the database yet."""


class EndEntry(NamedTuple):
    """The end of an attempt whose task has returned; it follows its `StartEntry`."""

    ticket: int
    ended: int
    """Its number in the order in which executions have ended."""
    sequence: int
    finished_at: float
    result: bytes


RedoEntry = StartEntry | EndEntry


@dataclass(slots=True)
class RedoLogContent:
    """The content of a redo log."""

    commit_id: CommitId
    """The commit that the entries follow."""
    entries: list[RedoEntry] = field(default_factory=list)
    prepared: CommitId | None = None
    """A commit that was begun after the entries, and may be complete."""
    end: int = FIRST_ENTRY_AT
    """Where the entries end, in bytes."""
    damage: str | None = None
    """Damage by which entries are lost."""
    torn: str | None = None
    """Damage that a kill or a power cut during a write may cause."""


def encode_line(
    kind: bytes, commit_id: str, numbers: tuple[float, ...], content: bytes = b""
) -> bytes:
    """Return one line of a redo log."""
    head = f"{commit_id} {' '.join(map(str, numbers))} ".encode("ascii")
    words = b"%b %b%b" % (kind, head, content)
    return b"%08x %b\n" % (zlib.crc32(words), words)


def parse_redo_log(name: str, content: bytes) -> RedoLogContent | None:
    """Return the entries of a redo log; None: it is empty.

    Args:
        name: of the file, for errors.
        content: of the file.

    Raises:
        ValueError: the header is damaged, or the file is not a redo log.
    """
    if not content.strip(b"\0"):
        return None
    header = _parse(content[:SYNCED_AT].split(b"\n")[0])
    if header is None or header.kind != HEADER:
        raise ValueError(f"{name} has a damaged header, or is not a redo log")
    found = RedoLogContent(header.commit_id)
    _parse_entries(name, content, found)
    synced = _parse(content[SYNCED_AT:FIRST_ENTRY_AT].split(b"\n")[0])
    size = int(header.numbers[0])
    if len(content) < size:
        found.damage = f"{name} was truncated from {size} to {len(content)} bytes"
    elif synced is None or synced.kind != SYNCED:
        if content[SYNCED_AT:FIRST_ENTRY_AT].strip(b"\0"):
            found.torn = f"{name} is damaged at byte {SYNCED_AT}"
    elif synced.commit_id == found.commit_id and found.end < int(synced.numbers[0]):
        found.damage = f"{name} is damaged at byte {found.end}"
    return found


class _Line:
    """One line of a redo log.

    Raises:
        ValueError: the line is damaged.
    """

    __slots__ = ("commit_id", "content", "kind", "numbers")

    def __init__(self, line: bytes) -> None:
        checksum, _, words = line.partition(b" ")
        if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(words):
            raise ValueError("a line with a wrong checksum")
        self.kind, commit_id, *self.numbers, self.content = words.split(b" ", 6)
        self.commit_id = CommitId.parse(commit_id.decode("ascii"))

    def to_entry(self) -> RedoEntry:
        ticket, second, third, fourth = self.numbers
        if self.kind == START:
            times = float(third), float(fourth)
            return StartEntry(int(ticket), int(second), *times, self.content)
        return EndEntry(int(ticket), int(second), int(third), float(fourth), self.content)


def _parse_entries(name: str, content: bytes, found: RedoLogContent) -> None:
    lines = content[FIRST_ENTRY_AT:].split(b"\n")
    for number, text in enumerate(lines):
        if text == TERMINATOR[:-1]:
            break
        line = _parse(text)
        if line is None:
            rest = map(_parse, lines[number + 1 :])
            if any(other is not None and other.commit_id == found.commit_id for other in rest):
                found.damage = f"{name} is damaged at byte {found.end}, before other entries"
            else:
                found.torn = f"{name} has an incomplete entry at byte {found.end}"
            break
        if line.commit_id != found.commit_id:
            break  # The rest of an older redo log in the same file.
        if line.kind == PREPARED:
            found.prepared = CommitId.parse(line.content.decode("ascii"))
            break
        found.end += len(text) + 1
        entry = line.to_entry()
        if line.kind == REVERT:
            found.entries = [other for other in found.entries if other.ticket != entry.ticket]
        elif line.kind in (START, END):
            found.entries.append(entry)


def _parse(text: bytes) -> _Line | None:
    try:
        return _Line(text)
    except ValueError:
        return None
