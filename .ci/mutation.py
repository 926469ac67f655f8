"""Mutation tests: change the code in small ways, and count the changes that no test detects.

`python .ci/mutation.py [--at-least PERCENT] [TARGET ...]` runs mutmut on copies of the packages, in
a temporary directory. A surviving mutant needs a test. A mutant that changes no behaviour is
excluded by a comment `# pragma: no mutate` with the reason. https://mutmut.readthedocs.io
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
# What mutmut prints behind the name of a mutant.
_SURVIVED: Final = ("survived", "no tests", "suspicious", "not checked")


class Target(NamedTuple):
    """Modules to mutate, and the tests that have to detect the mutants."""

    package: str
    modules: list[str]
    tests: list[str]


def read_targets() -> dict[str, Target]:
    """Return the targets of `.ci/mutation.toml` by name."""
    tables = tomllib.loads((ROOT / ".ci" / "mutation.toml").read_text("utf-8"))
    return {name: Target(**table) for name, table in tables.items()}


def run_mutmut(target: Target, directory: Path) -> tuple[int, list[str]]:
    """Return the number of mutants of a target, and the difference that each survivor makes."""
    copy = shutil.copytree(ROOT / "packages" / f"zmqruntime-{target.package}", directory)
    shutil.copy(ROOT / "pyproject.toml", directory.parent)
    source = f"src/zmqruntime/{target.package}"
    lines = ["[mutmut]", "source_paths = src", "also_copy ="]
    lines += ["  tests", "  pyproject.toml", "only_mutate ="]
    lines += [f"  {source}/{module}" for module in target.modules]
    lines += ["pytest_add_cli_args_test_selection ="]
    lines += [f"  tests/{test}" for test in target.tests]
    (copy / "setup.cfg").write_text("\n".join(lines) + "\n", "utf-8")
    mutmut = [sys.executable, "-m", "mutmut"]
    subprocess.run([*mutmut, "run"], cwd=copy, check=True)
    found = subprocess.run(
        [*mutmut, "results", "--all", "true"], cwd=copy, check=True, capture_output=True, text=True
    )
    outcomes = dict(_parse(found.stdout))
    survivors = [name for name, outcome in outcomes.items() if outcome in _SURVIVED]
    show = [*mutmut, "show"]
    shown = (
        subprocess.run([*show, name], cwd=copy, check=True, stdout=subprocess.PIPE, text=True)
        for name in survivors
    )
    return len(outcomes), [found.stdout for found in shown]


def _parse(output: str) -> Iterator[tuple[str, str]]:
    for line in output.splitlines():
        name, separator, outcome = line.strip().partition(": ")
        if separator:
            yield name, outcome


def main() -> int:
    targets = read_targets()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-least", type=float, default=90.0, metavar="PERCENT")
    parser.add_argument("targets", nargs="*", choices=[*targets, []], metavar="TARGET")
    options = parser.parse_args()
    is_good = True
    for name in options.targets or targets:
        with tempfile.TemporaryDirectory() as directory:
            count, survivors = run_mutmut(targets[name], Path(directory, "package"))
        share = 100 * (1 - len(survivors) / count) if count else 0.0
        is_good = is_good and share >= options.at_least
        print(*survivors, sep="\n")
        print(f"{name}: {share:.1f} % of {count} mutants detected", flush=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
