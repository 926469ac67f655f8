"""A journal on disk: opens the database and its redo log, checks both, and commits changes."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from zmqruntime.execution.errors import CommitFailed, JournalInUse, JournalUnusable
from zmqruntime.execution.journal.boot_id import boot_id
from zmqruntime.execution.journal.changes import Changes
from zmqruntime.execution.journal.commit_id import CommitId
from zmqruntime.execution.journal.consistency import check_consistency
from zmqruntime.execution.journal.database import damaged_error, is_busy, transaction
from zmqruntime.execution.journal.disk_space import DiskSpace
from zmqruntime.execution.journal.file_watch import FileWatch
from zmqruntime.execution.journal.latest_commit import LatestCommit
from zmqruntime.execution.journal.lock import (
    JournalHold,
    check_not_held,
    in_use_error,
    opening_lock,
)
from zmqruntime.execution.journal.opening import open_for_reading, open_for_writing
from zmqruntime.execution.journal.preflight import check_file_types, check_writable
from zmqruntime.execution.journal.redo_format import RedoEntry
from zmqruntime.execution.journal.redo_log import RedoLog, read_redo_log
from zmqruntime.execution.journal.row_reader import RowReader
from zmqruntime.execution.journal.schema import create_journal
from zmqruntime.transport import UnsafePath

__all__ = ["JournalFile"]

_log = logging.getLogger("zmqruntime.server")


class JournalFile:
    """One journal: first read, then, from `hold` to `close`, written by this process alone.

    Args:
        path: the file, created when it is missing, in a directory that exists and that
            `check_journal_dir` accepts.

    Raises:
        JournalInUse: another process, or another server of this process, has it open.
        JournalUnusable: it cannot be opened or written, is damaged, or is not a journal. Its files
            were not changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.parent.resolve() / path.name  # Without the name: as a link, it is refused.
        self._redo_path = self._beside(".started")
        self._log_path = self._beside("-wal")
        self.redo_entries: Sequence[RedoEntry] = ()
        """The entries that followed the latest commit when the journal was opened."""
        self._boot = boot_id()
        self.redo_log: RedoLog
        self._latest: LatestCommit
        self._commit_id: CommitId
        self._base: int
        self._hold: JournalHold | None = None
        self._watch: FileWatch
        self._has_committed = False
        """Whether this process has made a commit, and the redo log exists."""
        self._lost: CommitFailed | None = None
        self._space = DiskSpace()
        if not self.path.parent.is_dir():
            raise JournalUnusable(
                f"the directory {self.path.parent} of the journal does not exist: create it, or "
                "use another path"
            )
        with contextlib.ExitStack() as undo, self._mapped_errors():
            check_not_held(self.path)
            check_file_types(self.path)  # Before files are created beside a foreign one.
            check_writable((self.path, self._log_path, self._redo_path), self.path.parent)
            undo.enter_context(opening_lock(self.path))
            check_not_held(self.path)
            if not self.path.exists():
                create_journal(self.path)
                _log.info("created the journal %s", self.path)
            self._database, self._version = open_for_reading(self.path)
            try:
                self._read_commits()
            except BaseException:
                self._database.close()
                raise
            self._opening_lock = undo.pop_all()

    def read(self) -> RowReader:
        """Return a reader of all rows."""
        return RowReader(self.path, self._database)

    def hold(self) -> None:
        """Lock the journal for writing, after it was read.

        Raises:
            JournalInUse: another server has changed it meanwhile.
            JournalUnusable: it cannot be opened.
        """
        with self._opening_lock, self._mapped_errors():
            if self._version is not None:
                self._database.close()
                self._database = open_for_writing(self.path, self._version)
                if LatestCommit.read(self._database) != self._latest:
                    raise JournalInUse(
                        f"the journal {self.path} was changed by another server while this server "
                        "read it: stop that server, or use another file"
                    )
            with contextlib.suppress(FileNotFoundError):
                self._beside("-shm").unlink()  # Of the read-only connection.
            self._hold = JournalHold(self.path)
            self._watch = FileWatch(self.path, self._log_path)

    def write(self, changes: Changes, *, closing: bool) -> None:
        """Commit all changes in one transaction, which then survives a power cut.

        Args:
            changes: the rows to write.
            closing: this is the last commit; no redo log entry will follow it.

        Raises:
            CommitFailed: the transaction failed, or a file was removed or replaced.
        """
        if self._lost is not None:
            raise self._lost
        self.check()
        # A new id also after a failed commit, which may be on the disk.
        self._commit_id = self._commit_id.next()
        latest = LatestCommit(self._commit_id, self._base, None if closing else self._boot)
        try:
            self.redo_log.prepare(latest.commit_id)
            if not self._has_committed:  # With this commit, the database requires a redo log.
                self.redo_log.sync_header()
            with transaction(self._database):
                latest.update(self._database)
                if not self._has_committed:
                    self._database.execute("DELETE FROM read_marks")  # The engine has read them.
                changes.execute(self._database)
        except (OSError, sqlite3.Error) as error:
            raise CommitFailed(
                f"cannot write the journal {self.path}: {error}. Free space on its disk, or check "
                "the disk"
            ) from error
        self._latest = latest
        self.redo_log.reset(latest.commit_id)
        self._check_commit()
        if not self._has_committed:
            self._has_committed = True
            self._watch.add(self._redo_path)
            # So that the database file alone refers to the other files, wherever it is moved.
            self._space.require_checkpoint()
        if self._compact(changes):
            with contextlib.suppress(CommitFailed):  # This commit is safe; the next `check` fails.
                self._watch.accept_sizes()

    def check(self) -> None:
        """Check that the files are those that the next server opens.

        Raises:
            CommitFailed: a file was removed, replaced or truncated.
        """
        self._watch.check()

    def close(self, *, delete_redo_log: bool = False) -> None:
        """Release the journal; delete the redo log when the database has all of its entries."""
        with contextlib.ExitStack() as ends:  # Each step runs even if another one fails.
            if self._hold is not None:
                ends.callback(self._hold.release)
            ends.callback(self.redo_log.close, delete=delete_redo_log)
            ends.callback(self._database.close)
            ends.callback(self._opening_lock.close)

    def _read_commits(self) -> None:
        """Read the latest commit and the redo log, and check that they belong together."""
        try:
            self._latest = LatestCommit.read(self._database)
            redo = read_redo_log(self._redo_path)
            warning = check_consistency(self.path, self._latest, redo, self._boot)
        except (sqlite3.Error, ValueError) as error:
            if is_busy(error):
                raise in_use_error(self.path) from error
            raise damaged_error(self.path, str(error)) from error
        if warning is not None:
            _log.warning("%s", warning)
        self._base = self._latest.base
        self._commit_id = self._latest.commit_id.reopened()
        end = None
        if redo is not None and redo.commit_id == self._latest.commit_id:
            self.redo_entries = redo.entries
            end = redo.end
        self.redo_log = RedoLog(self._redo_path, self._latest.commit_id, end)

    def _check_commit(self) -> None:
        """Check that the commit went to the files that the next server opens."""
        try:
            self._watch.accept_sizes()
        except CommitFailed as error:
            self._lost = CommitFailed(f"{error} (a commit was lost with it)")
            raise self._lost from error

    def _compact(self, changes: Changes) -> bool:
        """Checkpoint and vacuum when due; return whether the size of a file may have changed."""
        is_checkpointed = self._space.checkpoint_if_due(self._database, changes)
        if is_checkpointed:
            self._base = self._latest.commit_id.commit
        is_vacuumed = self._space.vacuum_if_due(self._database, changes)
        return is_checkpointed is not None or is_vacuumed

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}{suffix}")

    @contextlib.contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except UnsafePath as error:
            raise JournalUnusable(f"cannot use the journal {self.path}: {error}") from error
        except (OSError, sqlite3.Error, UnicodeError) as error:
            if is_busy(error):
                raise in_use_error(self.path) from error
            raise JournalUnusable(
                f"cannot open the journal {self.path}: {error}. Repair it, or move it away to "
                "start an empty journal"
            ) from error
