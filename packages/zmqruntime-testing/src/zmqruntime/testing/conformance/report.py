"""The outcome of a run: findings, passed and skipped requirements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CannotCheck", "Finding", "Verdict"]


class CannotCheck(Exception):
    """The checks cannot run, for a reason other than a violation of the protocol."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation, or a failed setup of a check."""

    numbers: tuple[str, ...]
    """The violated requirement; several if the check cannot distinguish; empty if the setup of the
    check failed."""
    check: str
    """The pytest node id of the check."""
    what: str
    shown: tuple[str, ...] = ()
    """The messages that show it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a run."""

    findings: tuple[Finding, ...]
    passed: frozenset[str]
    """The requirements of the checks that passed."""
    skipped: Mapping[str, str]
    """The reason by requirement, for checks that do not apply to this server."""
    trouble: str = ""
    """Why the checks could not run; empty if they ran."""

    @property
    def broken(self) -> frozenset[str]:
        """The violated requirements."""
        return frozenset(number for finding in self.findings for number in finding.numbers)

    @property
    def ok(self) -> bool:
        """Whether the checks ran without findings."""
        return not (self.findings or self.trouble)
