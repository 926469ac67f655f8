"""Checks that the files of a journal belong together, and that none of them is outdated.

Each commit has an id. The database has the id of its latest commit; the redo log logs an id just
before the commit, and takes it for its entries just after. A kill keeps both files in step. A power
cut may leave an older redo log, which is synced less often.
"""

from __future__ import annotations

from pathlib import Path

from zmqruntime.execution.journal.commit_id import CommitId
from zmqruntime.execution.journal.latest_commit import LatestCommit, read_checkpointed_commit
from zmqruntime.execution.journal.redo_format import RedoLogContent

__all__ = ["check_consistency"]


def check_consistency(
    path: Path, latest: LatestCommit, redo: RedoLogContent | None, boot: str
) -> str | None:
    """Return a warning for the log; None: no commit and no entry is missing.

    Args:
        path: the journal.
        latest: the latest commit in its database.
        redo: the content of its redo log.
        boot: identifies this boot of the machine.

    Raises:
        ValueError: commits or entries are missing; the message names them.
    """
    commit_id = latest.commit_id
    _check_database_file(read_checkpointed_commit(path), latest)
    if redo is None:
        if latest.opened is not None:
            raise ValueError(
                f"{path.name}.started, its redo log, is missing, and with it which tasks started "
                f"and ended after commit {commit_id.commit}"
            )
        return None
    if redo.commit_id == commit_id:
        if latest.opened is None:
            return None  # The database has all entries.
        if redo.damage is not None:
            raise ValueError(
                f"{redo.damage}: which tasks started and ended after commit {commit_id.commit}, "
                "the latest one, is lost"
            )
        if redo.torn is None:
            return None
        return (
            f"the redo log of the journal {path}: {redo.torn}. If the server was killed during a "
            "write, or the power failed, no result is lost; otherwise the file is damaged, and "
            "the task that started last may start again"
        )
    if redo.prepared == commit_id:
        return None  # The server was killed between a commit and `RedoLog.reset`.
    return _check_other_commit(path, latest, redo.commit_id, boot)


def _check_database_file(checkpointed: CommitId | None, latest: LatestCommit) -> None:
    if checkpointed is None:
        return
    if checkpointed.journal != latest.commit_id.journal:
        raise ValueError("its database file and its write-ahead log are of different journals")
    if checkpointed.commit < latest.base:
        raise ValueError(
            f"its database file is an older copy, of commit {checkpointed.commit}, and its "
            f"write-ahead log continues commit {latest.base}"
        )


def _check_other_commit(path: Path, latest: LatestCommit, found: CommitId, boot: str) -> str | None:
    """Check a redo log that follows another commit than the latest one of the database."""
    commit_id = latest.commit_id
    if found.journal == commit_id.journal and found.commit >= commit_id.commit:
        raise ValueError(
            f"the database ends with commit {commit_id.commit}, and the redo log follows commit "
            f"{found.commit}: the commits between are lost. The database or its write-ahead log "
            "was damaged, removed, or replaced by an older copy"
        )
    if latest.opened is None:
        return None  # The database has all entries.
    if found.journal != commit_id.journal:
        raise ValueError(f"{path.name}.started, its redo log, is of another journal")
    if latest.opened == boot:
        raise ValueError(
            f"{path.name}.started, its redo log, is an older copy, of commit {found.commit}: which "
            f"tasks started and ended after commit {commit_id.commit}, the latest one, is lost"
        )
    return (
        f"the redo log {path}.started follows commit {found.commit}, and the latest commit is "
        f"{commit_id.commit}. After a power failure this is expected; otherwise it is an older "
        "copy, and which tasks started and ended since is lost"
    )
