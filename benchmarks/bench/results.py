"""The results of a run of the benchmark, and their file."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.figures import FIGURES

__all__ = ["Outcome", "Results", "describe_machine"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one contender in one repetition of one workload."""

    workload: str
    contender: str
    repetition: int
    figures: dict[str, float] = field(default_factory=dict)
    unable: str = ""
    """Why there are no figures."""
    beside: tuple[str, ...] = ()
    """The contenders that were measured in turns with it, in one process."""

    @property
    def failed(self) -> bool:
        """Whether the measurement failed."""
        return self.unable.startswith("failed: ")


@dataclass(slots=True)
class Results:
    """All outcomes of one run on one machine."""

    machine: dict[str, str]
    quick: bool = False
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def contenders(self) -> list[str]:
        """The measured contenders, in order."""
        return list(dict.fromkeys(outcome.contender for outcome in self.outcomes))

    def values(self, figure: str, contender: str, beside: str = "") -> dict[int, float]:
        """Return a figure in each repetition that has it.

        Args:
            figure: the name of the figure.
            contender: the name of the contender.
            beside: only outcomes measured in turns with this contender; empty: all.
        """
        workload, _, key = figure.partition(".")
        found: dict[int, list[float]] = {}
        for outcome in self.outcomes:
            if (outcome.workload, outcome.contender) != (workload, contender):
                continue
            if key in outcome.figures and (not beside or beside in outcome.beside):
                found.setdefault(outcome.repetition, []).append(outcome.figures[key])
        return {repetition: statistics.median(values) for repetition, values in found.items()}

    def median(self, figure: str, contender: str) -> float | None:
        """Return the median of a figure over all repetitions; of losses, the maximum."""
        values = self.values(figure, contender).values()
        if not values:
            return None
        # A single loss counts.
        return max(values) if FIGURES[figure].unit == "" else statistics.median(values)

    def ratio(self, figure: str, contender: str, other: str) -> float | None:
        """Return the median of the ratios of two contenders in each repetition.

        Only figures that were measured in turns are used, if there are any.
        """
        ours = self.values(figure, contender, other) or self.values(figure, contender)
        theirs = self.values(figure, other, contender) or self.values(figure, other)
        both = [ours[n] / theirs[n] for n in ours.keys() & theirs.keys() if theirs[n]]
        return statistics.median(both) if both else None

    def why_not(self, workload: str, contender: str) -> str:
        """Return why a contender has no figures of a workload; empty when it was not measured."""
        reasons = [
            outcome.unable
            for outcome in self.outcomes
            if (outcome.workload, outcome.contender) == (workload, contender) and outcome.unable
        ]
        return reasons[0] if reasons else ""

    def save(self, path: Path) -> None:
        """Write all results as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read results from a file."""
        kept: dict[str, Any] = json.loads(path.read_text())
        kept["outcomes"] = [
            Outcome(**outcome | {"beside": tuple(outcome.get("beside", ()))})
            for outcome in kept["outcomes"]
        ]
        return cls(**kept)


def describe_machine() -> dict[str, str]:
    """Return the properties of the machine that figures depend on."""
    return {
        "processor": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    output = Path("/proc/cpuinfo")
    if output.exists():
        for line in output.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
