"""What changes are held against is of a release, and is renewed by a release alone."""

from __future__ import annotations

import pytest
from contract.baseline import (
    NotReleasable,
    next_version,
    read_changelog,
    read_version,
    version_due,
)

from zmqruntime.messages import __version__

UNRELEASED = "# Changelog\n\n## 0.1.0 - unreleased\n\n- First.\n"
RELEASED = "# Changelog\n\n## 0.1.0 - 2026-01-31\n\n- First.\n"
NEXT_UNRELEASED = RELEASED.replace("## 0.1.0", "## 0.2.0 - unreleased\n\n- More.\n\n## 0.1.0")
NEXT_RELEASED = NEXT_UNRELEASED.replace("unreleased", "2026-02-28")


def test_the_baseline_is_of_the_last_release() -> None:
    due = version_due(__version__, read_changelog())
    assert read_version() == due, "run 'nox -s contract -- release' in the commit that releases"


@pytest.mark.parametrize(
    ("held", "current", "changelog", "then"),
    [
        ("0.1.0.dev0", "0.1.0", UNRELEASED, "0.1.0.dev0"),
        ("0.1.0.dev0", "0.1.0", RELEASED, "0.1.0"),
        ("0.1.0", "0.2.0", NEXT_RELEASED, "0.2.0"),
    ],
)
def test_before_the_first_release_and_by_each_it_is_renewed(
    held: str, current: str, changelog: str, then: str
) -> None:
    assert next_version(held, current, changelog) == then


@pytest.mark.parametrize(
    ("current", "changelog", "why"),
    [
        ("0.1.0", RELEASED, "0.1.0 is released, and peers of it are out there"),
        ("0.1.0", NEXT_UNRELEASED, "run `hatch version`"),
        ("0.2.0", NEXT_UNRELEASED, "0.2.0 is not released: date its heading"),
    ],
)
def test_what_is_released_is_not_renewed_by_another_commit(
    current: str, changelog: str, why: str
) -> None:
    with pytest.raises(NotReleasable, match=why):
        next_version("0.1.0", current, changelog)
