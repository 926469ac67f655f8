"""Damages to the files of a journal that no server holds, and to those that one does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

__all__ = ["AT_REST", "RUNNING", "Damage", "parts_of"]

_PAGE = 4096

Damage = Callable[[Path, Random, Path, Path], "Path | None"]
"""Takes a journal, what decides, a directory with an older copy of it, and one with the files of
another journal; returns the journal to open, None where there was nothing to damage."""


def parts_of(journal: Path) -> list[Path]:
    """Return the files that belong to a journal and have something in them."""
    names = "", "-wal", ".started"
    parts = [journal.with_name(f"{journal.name}{name}") for name in names]
    return [part for part in parts if part.is_file() and part.stat().st_size]


def _choose(journal: Path, choices: Random) -> Path:
    return choices.choice(parts_of(journal))


def flip_bit(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """One bit of one file is another one."""
    return _change(journal, choices, 1 << choices.randrange(8))


def flip_byte(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """One byte of one file is another one."""
    return _change(journal, choices, choices.randrange(1, 256))


def _change(journal: Path, choices: Random, mask: int) -> Path | None:
    part = _choose(journal, choices)
    content = bytearray(part.read_bytes())
    used = len(content.rstrip(b"\0")) or 1  # Notes have much room with nothing in it.
    at = choices.randrange(used)
    content[at] ^= mask
    part.write_bytes(content)
    return journal


def cut(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """One file ends too early, at a page or anywhere."""
    part = _choose(journal, choices)
    size = choices.randrange(part.stat().st_size)
    os.truncate(part, size - size % choices.choice([1, _PAGE]))
    return journal


def cut_log_behind_frame(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """The write-ahead log ends too early, behind a whole frame."""
    log = journal.with_name(f"{journal.name}-wal")
    frames = (log.stat().st_size - 32) // (_PAGE + 24) if log.exists() else 0
    if frames < 1:
        return None
    os.truncate(log, 32 + choices.randrange(frames) * (_PAGE + 24))
    return journal


def zero_page(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """4 KB of one file are zeros."""
    part = _choose(journal, choices)
    content = bytearray(part.read_bytes())
    at = choices.randrange(0, len(content.rstrip(b"\0")) + 1, choices.choice([1, _PAGE]))
    if not any(content[at : at + _PAGE]):
        return None
    content[at : at + _PAGE] = bytes(len(content[at : at + _PAGE]))
    part.write_bytes(content)
    return journal


def remove(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """One file, and not all of them, is gone."""
    parts = parts_of(journal)
    choices.choice(parts).unlink()
    return journal if len(parts) > 1 else None


def replace_by_older(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """One file, and not all of them, is as it was before.

    Notes are not replaced by those of the same commit: these were copied within the last second,
    and no other file has yet what was noted since.
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
    """One file, and not all of them, is of another journal."""
    parts = parts_of(journal)
    part = choices.choice(parts)
    if len(parts) == 1 or not (other / part.name).exists():
        return None
    shutil.copyfile(other / part.name, part)
    return journal


def hard_link(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """The database is opened under another name, which has no log and no notes."""
    link = journal.with_name("link.journal")
    os.link(journal, link)
    if choices.random() < 0.5:
        journal.unlink()  # It was renamed.
    return link if len(parts_of(journal)) > 1 else None


def symbolic_link(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """One file is a link to where it was moved."""
    part = _choose(journal, choices)
    moved = part.with_name("moved")
    part.rename(moved)
    part.symlink_to(moved)
    return journal


def read_only(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """One file, or its directory, may not be written."""
    choices.choice([*parts_of(journal), journal.parent]).chmod(0o500)
    return journal


def nothing(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """Nothing is damaged: nothing may be reported."""
    return journal


AT_REST: dict[Damage, int] = {
    flip_bit: 20,
    flip_byte: 12,
    cut: 12,
    cut_log_behind_frame: 8,
    zero_page: 10,
    remove: 8,
    replace_by_older: 12,
    replace_by_other: 6,
    hard_link: 3,
    symbolic_link: 3,
    read_only: 3,
    nothing: 12,
}
"""With what weight each is chosen."""


def remove_directory(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """The directory has another name, and another one has taken its place."""
    journal.parent.rename(journal.parent.with_name("renamed"))
    if choices.random() < 0.5:
        journal.parent.mkdir()
    return journal


def replace(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """One file was copied, and the copy moved over it."""
    part = _choose(journal, choices)
    copy = part.with_name("copy")
    shutil.copyfile(part, copy)
    copy.replace(part)
    return journal


def rename(journal: Path, choices: Random, older: Path, other: Path) -> Path | None:
    """One file has another name."""
    part = _choose(journal, choices)
    part.rename(part.with_name("renamed"))
    return journal


RUNNING: dict[Damage, int] = {
    remove: 3,
    replace: 3,
    rename: 2,
    remove_directory: 2,
    cut: 3,
    flip_bit: 3,
    zero_page: 2,
    nothing: 2,
}
"""Under a running server."""
