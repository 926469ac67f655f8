"""The mark of a commit: which journal, which commit of it, and no other one by chance.

It is written in the database with each commit, and in the notes beside it. Two files that belong
together agree on it, so a file that was replaced, or lost commits, is found by comparing marks.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

__all__ = ["Mark"]


class Mark(NamedTuple):
    """Identifies one commit of one journal."""

    journal: str
    """Random, the same for all commits of a journal."""
    commit: int
    """How many commits there were before."""
    nonce: str
    """Random, new for each opening: one that was restored from a copy commits the same numbers."""

    def __str__(self) -> str:
        return f"{self.journal}-{self.commit}-{self.nonce}"

    @classmethod
    def new(cls) -> Mark:
        """Return the mark of a journal that is made now."""
        return cls(secrets.token_hex(8), 0, secrets.token_hex(4))

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Return the mark that was written as ``text``.

        Raises:
            ValueError: it is no mark.
        """
        journal, commit, nonce = text.split("-")
        return cls(journal, int(commit), nonce)

    def next(self) -> Mark:
        """Return the mark of the next commit of this opening."""
        return Mark(self.journal, self.commit + 1, self.nonce)

    def reopened(self) -> Mark:
        """Return a mark whose `next` ones are of a new opening."""
        return Mark(self.journal, self.commit, secrets.token_hex(4))
