"""Who has a journal: one server at a time."""

from __future__ import annotations

import os
from pathlib import Path

import filelock

from zmqruntime.execution.errors import JournalInUse, JournalUnusable
from zmqruntime.transport.private_files import open_private

__all__ = ["JournalLock"]


class JournalLock:
    """Held from here to `release`, or to the end of this process.

    Args:
        path: the journal.

    Raises:
        JournalInUse: another process, or another server of this one, holds it.
        JournalUnusable: its directory takes no lock file.
    """

    def __init__(self, path: Path) -> None:
        # Beside the lock: on Windows nobody can read a file that is locked.
        self._owner_path = path.with_name(f"{path.name}.owner")
        self._lock = filelock.FileLock(f"{path}.lock", mode=0o600, thread_local=False)
        try:
            os.close(open_private(Path(f"{path}.lock"), write=True, create=True))
            self._lock.acquire(timeout=0)
            owner = open_private(self._owner_path, write=True, create=True, truncate=True)
            with os.fdopen(owner, "w", encoding="ascii") as file:
                file.write(f"process {os.getpid()}")
        except filelock.Timeout:
            raise JournalInUse(
                f"the journal {path} is in use by {self._read_owner()}: end that server first, or "
                "give this one a journal of its own"
            ) from None
        except OSError as error:
            self._lock.release()
            raise JournalUnusable(f"the journal {path} cannot be locked: {error}") from error

    def release(self) -> None:
        """Let the next server have it."""
        self._owner_path.unlink(missing_ok=True)
        self._lock.release()

    def _read_owner(self) -> str:
        try:
            return self._owner_path.read_text(encoding="ascii") or "another server"
        except (OSError, UnicodeDecodeError):
            return "another server"  # Which has not written it yet.
