"""Damages the files of a journal, closed or open."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

__all__ = ["CLOSED", "OPEN", "Damage", "nothing", "parts_of"]

_PAGE = 4096

Damage = Callable[[Path, Random, Path, Path], "Path | None"]
"""Takes a journal, a random generator, a directory with an older copy of the journal, and one with
the files of another journal; returns the journal to open. None: there was nothing to damage."""


def parts_of(journal: Path) -> list[Path]:
    """Return the files of a journal that are not empty."""
    names = "", "-wal", ".started"
    parts = [journal.with_name(f"{journal.name}{name}") for name in names]
    return [part for part in parts if part.is_file() and part.stat().st_size]


def _choose(journal: Path, choices: Random) -> Path:
    return choices.choice(parts_of(journal))


def flip_bit(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Flip a bit of a file."""
    return _change(journal, choices, 1 << choices.randrange(8))


def flip_byte(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Change a byte of a file."""
    return _change(journal, choices, choices.randrange(1, 256))


def _change(journal: Path, choices: Random, mask: int) -> Path | None:
    part = _choose(journal, choices)
    content = bytearray(part.read_bytes())
    used = len(content.rstrip(b"\0")) or 1  # The redo log has a long tail of zeros.
    at = choices.randrange(used)
    content[at] ^= mask
    part.write_bytes(content)
    return journal


def truncate(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Truncate a file, at a page boundary or elsewhere."""
    part = _choose(journal, choices)
    size = choices.randrange(part.stat().st_size)
    os.truncate(part, size - size % choices.choice([1, _PAGE]))
    return journal


def truncate_log_after_frame(
    journal: Path, choices: Random, older: Path, other: Path
) -> Path | None:
    """Truncate the write-ahead log after a frame."""
    log = journal.with_name(f"{journal.name}-wal")
    frames = (log.stat().st_size - 32) // (_PAGE + 24) if log.exists() else 0
    if frames < 1:
        return None
    os.truncate(log, 32 + choices.randrange(frames) * (_PAGE + 24))
    return journal


def zero_page(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Overwrite 4 KB of a file with zeros."""
    part = _choose(journal, choices)
    content = bytearray(part.read_bytes())
    at = choices.randrange(0, len(content.rstrip(b"\0")) + 1, choices.choice([1, _PAGE]))
    if not any(content[at : at + _PAGE]):
        return None
    content[at : at + _PAGE] = bytes(len(content[at : at + _PAGE]))
    part.write_bytes(content)
    return journal


def remove(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Remove one of several files."""
    parts = parts_of(journal)
    choices.choice(parts).unlink()
    return journal if len(parts) > 1 else None


def replace_by_older(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Replace one of several files by an older copy.

    Not a redo log by one of the same commit: the difference, at most a second of entries, is in no
    other file, so no check can detect it.
    """
    parts = parts_of(journal)
    part = choices.choice(parts)
    copy = older / part.name
    if len(parts) == 1 or not copy.exists() or copy.read_bytes() == part.read_bytes():
        return None
    if part.suffix == ".started" and _first_line(copy) == _first_line(part):
        return None
    shutil.copyfile(copy, part)
    return journal


def _first_line(file: Path) -> bytes:
    return file.read_bytes().partition(b"\n")[0]


def replace_by_other(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Replace one of several files by that of another journal."""
    parts = parts_of(journal)
    part = choices.choice(parts)
    if len(parts) == 1 or not (other / part.name).exists():
        return None
    shutil.copyfile(other / part.name, part)
    return journal


def hard_link(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Open the database by another name, without write-ahead log and redo log."""
    link = journal.with_name("link.journal")
    os.link(journal, link)
    if choices.random() < 0.5:
        journal.unlink()  # As by a rename.
    return link if len(parts_of(journal)) > 1 else None


def symbolic_link(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Move a file, and leave a symbolic link to it."""
    part = _choose(journal, choices)
    moved = part.with_name("moved")
    part.rename(moved)
    part.symlink_to(moved)
    return journal


def read_only(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Make a file or the directory read-only."""
    choices.choice([*parts_of(journal), journal.parent]).chmod(0o500)
    return journal


def nothing(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Damage no file: no damage may be reported."""
    return journal


CLOSED: dict[Damage, int] = {
    flip_bit: 20,
    flip_byte: 12,
    truncate: 12,
    truncate_log_after_frame: 8,
    zero_page: 10,
    remove: 8,
    replace_by_older: 12,
    replace_by_other: 6,
    hard_link: 3,
    symbolic_link: 3,
    read_only: 3,
    nothing: 12,
}
"""The damages of a closed journal, with their weights."""


def remove_directory(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Rename the directory, and perhaps create an empty one in its place."""
    journal.parent.rename(journal.parent.with_name("renamed"))
    if choices.random() < 0.5:
        journal.parent.mkdir()
    return journal


def replace(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Replace a file by a copy of itself."""
    part = _choose(journal, choices)
    copy = part.with_name("copy")
    shutil.copyfile(part, copy)
    copy.replace(part)
    return journal


def rename(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Rename a file."""
    part = _choose(journal, choices)
    part.rename(part.with_name("renamed"))
    return journal


OPEN: dict[Damage, int] = {
    remove: 3,
    replace: 3,
    rename: 2,
    remove_directory: 2,
    truncate: 3,
    flip_bit: 3,
    zero_page: 2,
    nothing: 2,
}
"""The damages of an open journal, with their weights."""
