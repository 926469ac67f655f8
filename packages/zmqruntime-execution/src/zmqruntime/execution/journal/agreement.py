"""Whether the files of a journal belong together: no commit is missing in one of them.

Each commit has a mark, in the database and, from just before that to the next one, in the notes.
A kill leaves both as they were. A power cut may leave older notes: they are synced less often.
"""

from __future__ import annotations

from pathlib import Path

from zmqruntime.execution.journal.database import Latest, read_base
from zmqruntime.execution.journal.mark import Mark
from zmqruntime.execution.journal.redo_reader import FoundNotes

__all__ = ["check_agreement"]


def check_agreement(path: Path, latest: Latest, found: FoundNotes | None, boot: str) -> str | None:
    """Return what to warn of; None: nothing is missing.

    Args:
        path: the journal.
        latest: what its database knows.
        found: what is noted beside it.
        boot: identifies this boot of the machine.

    Raises:
        ValueError: commits or notes are missing; the error says which.
    """
    mark = latest.mark
    _check_base(read_base(path), latest)
    if found is None:
        if latest.opened is not None:
            raise ValueError(
                f"{path.name}.started is gone, with which tasks began and ended behind commit "
                f"{mark.commit}"
            )
        return None
    if found.mark == mark:
        if latest.opened is None:
            return None  # All is in the database.
        if found.damage is not None:
            raise ValueError(
                f"{found.damage}: which tasks began and ended behind commit {mark.commit}, the "
                "latest one, is lost"
            )
        if found.torn is None:
            return None
        return (
            f"beside the journal {path}, {found.torn}, as a kill or a power cut in the middle of "
            "a write leaves it; otherwise it is damaged, and the task that began last may begin "
            "again"
        )
    if found.prepared == mark:
        return None  # A kill came between a commit and what follows it.
    return _check_other(path, latest, found.mark, boot)


def _check_base(base: Mark | None, latest: Latest) -> None:
    if base is None:
        return
    if base.journal != latest.mark.journal:
        raise ValueError("its database file is of one journal, its write-ahead log of another one")
    if base.commit < latest.base:
        raise ValueError(
            f"its database file is an older copy, of commit {base.commit}: it needs commit "
            f"{latest.base}"
        )


def _check_other(path: Path, latest: Latest, noted: Mark, boot: str) -> str | None:
    """Judge notes that are of another commit than the database."""
    mark = latest.mark
    if noted.journal == mark.journal and noted.commit >= mark.commit:
        raise ValueError(
            f"it ends with commit {mark.commit}, and commit {noted.commit} was made: the commits "
            "between are lost; its file or its write-ahead log was damaged, removed, or replaced "
            "by an older copy"
        )
    if latest.opened is None:
        return None  # All is in the database.
    if noted.journal != mark.journal:
        raise ValueError(f"{path.name}.started is of another journal")
    if latest.opened == boot:
        raise ValueError(
            f"{path.name}.started is an older copy, of commit {noted.commit}: which tasks began "
            f"and ended behind commit {mark.commit}, the latest one, is lost"
        )
    return (
        f"beside the journal {path}, {path.name}.started is of commit {noted.commit}, and the "
        f"latest one is {mark.commit}, as a power cut leaves it; otherwise it is an older copy, "
        "and which tasks began and ended behind that commit is lost"
    )
