"""The order of measurements: each repetition in new processes, with a rotated order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contenders import JOURNAL, LIMIT, PEERS, PROJECT
from bench.results import Outcome, Results

__all__ = ["Step", "make_plan", "perform"]

_OWN = (LIMIT, PROJECT, JOURNAL)
_IN_TURNS = {"round-trip", "obvious-loop"}
# Repeated more often: their spread exceeds the distance between figure and promise.
_SCATTERED = {"round-trip", "spin", "cold-start"}
_LONGEST_SECONDS, _LONGEST_QUICK_SECONDS = 600.0, 60.0
_HERE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Step:
    """One measuring process."""

    workload: str
    contenders: tuple[str, ...]
    repetition: int
    python: Path

    def __str__(self) -> str:
        return f"{self.workload}: {', '.join(self.contenders)} ({self.repetition + 1})"


def make_plan(
    workloads: Sequence[str],
    contenders: Sequence[str],
    repetitions: int,
    environments: Path | None,
) -> list[Step]:
    """Return all steps in order.

    Args:
        workloads: the workloads.
        contenders: the contenders.
        repetitions: the number of repetitions; 7 instead of 3 for workloads with a large spread,
            of the project and the limit.
        environments: the directory with the environments of the peers.
    """
    most = 1 + 3 * (repetitions - 1)
    return [
        Step(workload, group, repetition, _find_python(group[0], environments))
        for repetition in range(most)
        for workload in workloads
        for group in _rotate(_groups(workload, contenders), repetition)
        if repetition < repetitions or (workload in _SCATTERED and group[0] in _OWN)
    ]


def _groups(workload: str, contenders: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the contenders that are measured in one process, in turns.

    Each is paired with the limit only, since the writes of a journal would slow down others.
    """
    own = [name for name in contenders if name in _OWN and name != LIMIT]
    if workload not in _IN_TURNS or LIMIT not in contenders or not own:
        return [(name,) for name in contenders]
    peers = [(name,) for name in contenders if name not in _OWN]
    return [*((LIMIT, name) for name in own), *peers]


def _rotate(groups: list[tuple[str, ...]], by: int) -> list[tuple[str, ...]]:
    start = by % len(groups)
    turned = groups[start:] + groups[:start]
    return [group[by % len(group) :] + group[: by % len(group)] for group in turned]


def _find_python(contender: str, environments: Path | None) -> Path:
    if contender not in PEERS or environments is None:
        return Path(sys.executable)
    return environments / contender / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def perform(step: Step, results: Results) -> None:
    """Run a step, and add its figures or its failure to the results.

    A workload that a contender does not support is not tried again.
    """
    if all(results.why_not(step.workload, name) for name in step.contenders):
        return
    try:
        output = _run(step, results.quick)
    except _Failed as failure:
        output = {name: {"unable": f"failed: {failure}"} for name in step.contenders}
    for name, answer in output.items():
        results.versions.setdefault(name, {}).update(answer.get("versions", {}))
        figures, unable = answer.get("figures", {}), answer.get("unable", "")
        beside = tuple(other for other in step.contenders if other != name)
        results.outcomes.append(
            Outcome(step.workload, name, step.repetition, figures, unable, beside)
        )


class _Failed(Exception):
    """A measurement failed."""


def _run(step: Step, quick: bool) -> dict[str, dict[str, Any]]:
    command = [str(step.python), "-m", "bench.measurement", step.workload, *step.contenders]
    path = os.pathsep.join(filter(None, [str(_HERE), os.environ.get("PYTHONPATH")]))
    # Bytecode is cached, as after an installation.
    python = {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": ""}
    process = subprocess.Popen(
        [*command, *(["--quick"] if quick else [])],
        env=os.environ | python,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    longest = _LONGEST_QUICK_SECONDS if quick else _LONGEST_SECONDS
    try:
        output, errors = process.communicate(timeout=longest)
    except BaseException as error:
        _end_group(process)
        if isinstance(error, subprocess.TimeoutExpired):
            raise _Failed(f"{step} took longer than {longest:g} s") from None
        raise
    if process.returncode:
        _end_group(process)
        raise _Failed(f"{step}: {_last_line(errors)}")
    measured: dict[str, dict[str, Any]] = json.loads(output.splitlines()[-1])
    return measured


def _end_group(process: subprocess.Popen[str]) -> None:
    """Kill the processes of a failed measurement, which has a session of its own."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
    else:
        process.kill()
    process.communicate()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
