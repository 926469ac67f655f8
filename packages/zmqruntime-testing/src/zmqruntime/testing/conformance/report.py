"""What a run of the checks has found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CannotCheck", "Finding", "Verdict"]


class CannotCheck(Exception):
    """The checks cannot be made, for a reason that is no sentence of the protocol."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a server."""

    numbers: tuple[str, ...]
    """The broken sentence; several when a check cannot tell which; none when what a check stands
    on failed, so that it could not be made."""
    check: str
    """The check that found it, as pytest names it."""
    what: str
    shown: tuple[str, ...] = ()
    """What was sent and what came back."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a run."""

    findings: tuple[Finding, ...]
    passed: frozenset[str]
    """The numbers of the checks that passed."""
    skipped: Mapping[str, str]
    """Why not, by the numbers of the checks that do not apply to this server."""
    trouble: str = ""
    """Why the checks could not be made; empty when they were."""

    @property
    def broken(self) -> frozenset[str]:
        """The numbers of the broken sentences."""
        return frozenset(number for finding in self.findings for number in finding.numbers)

    @property
    def ok(self) -> bool:
        """Whether the checks were made and found nothing."""
        return not (self.findings or self.trouble)
