"""The baseline of the compatibility check: the schemas of the last release.

There is none before the first release. Each release renews it, in the commit that dates the
changelog.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

from contract.files import PACKAGE
from zmqruntime.messages import __version__, make_schemas

__all__ = [
    "BASELINE",
    "Baseline",
    "NotReleased",
    "check_renewal",
    "find_last_release",
    "load",
    "read_changelog",
    "renew",
]

BASELINE: Final = PACKAGE / "contract-released" / "schema.json"

# The versions of the changelog that have a date; the newest comes first.
_DATED = re.compile(r"^## \[?([\w.]+)\]? - \d{4}-\d{2}-\d{2}$", re.MULTILINE)


class Baseline(NamedTuple):
    """The schemas of a release, by kind of message."""

    version: str
    schemas: dict[str, dict[str, Any]]


class NotReleased(Exception):
    """The current version is not released, or released already."""


def read_changelog() -> str:
    """Return the changelog of the package, which dates each release."""
    return (PACKAGE / "CHANGELOG.md").read_text("utf-8")


def find_last_release(changelog: str) -> str | None:
    """Return the newest version with a date; None before the first release."""
    dated = _DATED.findall(changelog)
    return dated[0] if dated else None


def load() -> Baseline | None:
    """Return the baseline; None before the first release."""
    if not BASELINE.exists():
        return None
    return Baseline(**json.loads(BASELINE.read_text("utf-8")))


def check_renewal(held: str | None, current: str, changelog: str) -> None:
    """Check that the baseline of version ``held`` may be replaced by ``current``.

    Raises:
        NotReleased: ``current`` has no date in the changelog, or is the baseline already.
    """
    if current == held:
        raise NotReleased(
            f"{held} is released already: run `hatch version` and date the changelog to release "
            "another version"
        )
    if find_last_release(changelog) != current:
        raise NotReleased(f"{current} is not released: date its heading in CHANGELOG.md first")


def renew() -> str:
    """Write the current schemas as the baseline; return their version.

    Raises:
        NotReleased: see `check_renewal`.
    """
    held = load()
    check_renewal(held.version if held else None, __version__, read_changelog())
    baseline = Baseline(__version__, make_schemas())
    BASELINE.parent.mkdir(exist_ok=True)
    text = json.dumps(baseline._asdict(), ensure_ascii=False, indent=2)
    BASELINE.write_text(text + "\n", encoding="utf-8", newline="\n")
    return baseline.version
