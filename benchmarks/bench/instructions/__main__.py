"""Compare the instruction counts of the main paths with the stored ones.

``python -m bench.instructions renew`` stores the counts. Exits with 1 when a path takes 15 % more.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.instructions.paths import PASSES, PATHS

__all__ = ["KEPT", "compare", "count"]

KEPT = Path(__file__).parents[2] / "instructions.json"
_TOLERANCE = 0.15
_MARK = "getpgid"
_RENEW = "renew them with `nox -s instructions -- renew`"


def count() -> dict[str, int]:
    """Return the number of instructions of one pass of each path.

    The difference of two series, so that one-time work is not counted.

    Raises:
        RuntimeError: callgrind failed.
    """
    with tempfile.TemporaryDirectory(prefix="zi") as directory:
        options = [f"--dump-before={name}" for name in (_MARK, f"__{_MARK}")]
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out"]
        program = [sys.executable, "-m", "bench.instructions.paths"]
        process = subprocess.Popen(
            [*command, *options, *program],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        output, _ = process.communicate()
        series = _read_series(Path(directory))
    if process.returncode or len(series) != 3 * len(PATHS):
        raise RuntimeError(
            f"{len(series)} series were counted; output of valgrind:\n{output[-2000:]}"
        )
    found = {}
    for number, name in enumerate(PATHS):
        _, once, twice = series[3 * number : 3 * number + 3]
        found[name] = round((twice - once) / PASSES)
    return found


def _read_series(directory: Path) -> list[int]:
    """Return the counts between each first and second mark."""
    dumps = sorted(directory.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    # The first dump is of the start; every second one after it is of a series.
    return [_read_total(path) for path in dumps[1::2]]


def _read_total(dump: Path) -> int:
    for line in dump.read_text(errors="replace").splitlines():
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise RuntimeError(f"callgrind has not completed {dump.name}")


def compare(found: dict[str, int], kept: dict[str, int]) -> dict[str, float]:
    """Return the growth of each path relative to the stored count: 0.15 is 15 %."""
    return {name: found[name] / kept[name] - 1 if name in kept else 0.0 for name in found}


def describe_versions() -> dict[str, str]:
    """Return the versions that the counts depend on."""
    return {"pydantic": version("pydantic"), "python": platform.python_version()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="instructions", description=__doc__)
    parser.add_argument("renew", nargs="?", choices=["renew"], help="store the counts")
    options = parser.parse_args()
    console = Console()
    if shutil.which("valgrind") is None:
        console.print("valgrind is missing: install it by `apt-get install valgrind libc6-dbg`")
        return 1
    with console.status("counting instructions, for about a minute"):
        found = count()
    stored: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    minor = ".".join(platform.python_version_tuple()[:2])
    if options.renew:
        stored[minor] = {"versions": describe_versions(), "instructions": found}
        KEPT.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n")
    if minor not in stored:
        console.print(f"there are no stored counts of Python {minor}: {_RENEW}", highlight=False)
        return 1
    return _print_comparison(console, found, stored[minor])


def _print_comparison(console: Console, found: dict[str, int], kept: dict[str, Any]) -> int:
    growth = compare(found, kept["instructions"])
    table = Table("path", "instructions", "stored", "growth")
    for name, more in growth.items():
        style = "red" if more > _TOLERANCE else "green" if more < -_TOLERANCE else ""
        before = kept["instructions"].get(name)
        change = "new" if before is None else f"{more:+.1%}"
        table.add_row(name, f"{found[name]:,}", f"{before or 0:,}", change, style=style)
    console.print(table)
    if kept["versions"] != describe_versions():
        here = describe_versions()
        console.print(f"the stored counts are of {kept['versions']}, these of {here}")
    if any(more > _TOLERANCE for more in growth.values()):
        console.print(f"a path takes over {_TOLERANCE:.0%} more: find the cause, or {_RENEW}")
        return 1
    is_new = kept["instructions"].keys() != found.keys()
    if is_new or any(more < -_TOLERANCE for more in growth.values()):
        console.print(f"the stored counts are out of date: {_RENEW}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
