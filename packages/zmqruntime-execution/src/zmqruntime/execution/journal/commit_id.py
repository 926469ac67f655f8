"""Identifies one commit of one journal.

The database stores the id of its latest commit, and each redo log entry the id of the commit that
it follows. Different ids reveal a file that was replaced, or commits that were lost.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

__all__ = ["CommitId"]


class CommitId(NamedTuple):
    """A commit of a journal, written as ``journal-commit-nonce``."""

    journal: str
    """Random; the same for all commits of a journal."""
    commit: int
    """The number of commits before this one."""
    nonce: str
    """Random for each opening: a journal restored from a backup reuses commit numbers."""

    def __str__(self) -> str:
        return f"{self.journal}-{self.commit}-{self.nonce}"

    @classmethod
    def new(cls) -> CommitId:
        """Return the id of the first commit of a new journal."""
        return cls(secrets.token_hex(8), 0, secrets.token_hex(4))

    @classmethod
    def parse(cls, text: str) -> CommitId:
        """Return the id that was written as ``text``.

        Raises:
            ValueError: the text is not a commit id.
        """
        journal, commit, nonce = text.split("-")
        return cls(journal, int(commit), nonce)

    def next(self) -> CommitId:
        """Return the id of the next commit by the same server."""
        return CommitId(self.journal, self.commit + 1, self.nonce)

    def reopened(self) -> CommitId:
        """Return the same commit with a new nonce, for a server that opens the journal."""
        return CommitId(self.journal, self.commit, secrets.token_hex(4))
