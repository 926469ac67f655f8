"""What the next wheel is held against: the contract of the last release, and of no later commit."""

from __future__ import annotations

import re

from contract.files import PACKAGE, RELEASED, write
from zmqruntime.messages import __version__

__all__ = [
    "NotReleasable",
    "next_version",
    "read_changelog",
    "read_version",
    "renew",
    "version_due",
]

_VERSION_FILE = RELEASED / "VERSION"

# The versions of the changelog that have a date; the newest comes first.
_DATED = re.compile(r"^## \[?([\w.]+)\]? - \d{4}-\d{2}-\d{2}$", re.MULTILINE)


class NotReleasable(Exception):
    """The baseline stays as it is; the message says what to do first."""


def read_version() -> str:
    """Return the version that the baseline is of."""
    return _VERSION_FILE.read_text("utf-8").strip()


def read_changelog() -> str:
    """Return the changelog of the package, which dates what is released."""
    return (PACKAGE / "CHANGELOG.md").read_text("utf-8")


def version_due(current: str, changelog: str) -> str:
    """Return the version that the baseline has to be of: the last one with a date.

    Before the first release it is of a development version, and may be renewed at any time.
    """
    dated = _DATED.findall(changelog)
    return dated[0] if dated else f"{current}.dev0"


def next_version(held: str, current: str, changelog: str) -> str:
    """Return the version that a baseline of ``held`` is of when it has been renewed now.

    Raises:
        NotReleasable: ``held`` is released, and ``current`` is the same or not released.
    """
    is_free = ".dev" in held
    if not is_free and current == held:
        raise NotReleasable(
            f"{held} is released, and peers of it are out there: mend what breaks them, or run "
            "`hatch version` and date the changelog, to release another version"
        )
    due = version_due(current, changelog)
    if not is_free and due != current:
        raise NotReleasable(f"{current} is not released: date its heading in CHANGELOG.md first")
    return due


def renew() -> str:
    """Let the baseline be what the models make now; return the version that it is of then.

    Raises:
        NotReleasable: see `next_version`.
    """
    version = next_version(read_version(), __version__, read_changelog())
    write(RELEASED)
    _VERSION_FILE.write_text(version + "\n", encoding="utf-8", newline="\n")
    return version
