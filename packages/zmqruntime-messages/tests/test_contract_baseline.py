"""The baseline of the compatibility check is the last release."""

from __future__ import annotations

import pytest
from contract.baseline import NotReleased, check_renewal, find_last_release, load, read_changelog

UNRELEASED = "# Changelog\n\n## 0.1.0 - unreleased\n\n- First.\n"
RELEASED = "# Changelog\n\n## 0.1.0 - 2026-01-31\n\n- First.\n"
NEXT_UNRELEASED = RELEASED.replace("## 0.1.0", "## 0.2.0 - unreleased\n\n- More.\n\n## 0.1.0")
NEXT_RELEASED = NEXT_UNRELEASED.replace("unreleased", "2026-02-28")


def test_baseline_is_the_last_release_of_the_changelog() -> None:
    baseline = load()
    held = baseline.version if baseline else None
    advice = "run 'nox -s contract -- release' in the commit that dates the changelog"
    assert held == find_last_release(read_changelog()), advice


@pytest.mark.parametrize(
    ("changelog", "version"),
    [
        (UNRELEASED, None),
        (RELEASED, "0.1.0"),
        (NEXT_UNRELEASED, "0.1.0"),
        (NEXT_RELEASED, "0.2.0"),
    ],
)
def test_last_release_is_the_newest_version_with_a_date(
    changelog: str, version: str | None
) -> None:
    assert find_last_release(changelog) == version


@pytest.mark.parametrize(
    ("held", "current", "changelog"),
    [(None, "0.1.0", RELEASED), ("0.1.0", "0.2.0", NEXT_RELEASED)],
)
def test_each_release_may_renew_the_baseline(
    held: str | None, current: str, changelog: str
) -> None:
    check_renewal(held, current, changelog)


@pytest.mark.parametrize(
    ("held", "current", "changelog", "reason"),
    [
        (None, "0.1.0", UNRELEASED, "0.1.0 is not released: date its heading"),
        ("0.1.0", "0.1.0", RELEASED, "0.1.0 is released already: run `hatch version`"),
        ("0.1.0", "0.1.0", NEXT_UNRELEASED, "run `hatch version`"),
        ("0.1.0", "0.2.0", NEXT_UNRELEASED, "0.2.0 is not released: date its heading"),
    ],
)
def test_no_other_commit_may_renew_the_baseline(
    held: str | None, current: str, changelog: str, reason: str
) -> None:
    with pytest.raises(NotReleased, match=reason):
        check_renewal(held, current, changelog)
