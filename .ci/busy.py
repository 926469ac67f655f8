"""Run the tests on a machine that is busy, several times, and list which failed.

`python .ci/busy.py [--times N] [--loops N] [what pytest takes]`. A test that fails here and not
alone asserts a time, or that something has, or has not, arrived without waiting for it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

NICENESS = 5  # POSIX: beside a loop on the same core, a test gets a quarter of it.
LOOP = "import os; p = os.getppid()\nwhile os.getppid() == p: pass"  # No orphan goes on.


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep ``count`` processors busy; the processes end with the block."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def give_way() -> None:
    """Run in the tests' process before they begin."""
    os.nice(NICENESS)


def run_tests(arguments: list[str], report: Path) -> int:
    """Run pytest at a low priority, and return its exit code."""
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments]
    if hasattr(os, "nice"):
        return subprocess.run(command, preexec_fn=give_way, check=False).returncode
    # Windows has classes of priority instead.
    flags = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
    return subprocess.run(command, creationflags=flags, check=False).returncode


def read_failures(report: Path) -> set[str]:
    """Return the tests that failed or were in error."""
    if not report.exists():
        return {"pytest itself: it wrote no report"}
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often; 3 by default")
    parser.add_argument("--loops", type=int, default=2, help="busy loops beside it; 2 by default")
    options, arguments = parser.parse_known_args()
    failed: Counter[str] = Counter()
    codes = []
    with tempfile.TemporaryDirectory() as directory, busy_loops(options.loops):
        for number in range(options.times):
            report = Path(directory, f"{number}.xml")
            codes.append(run_tests(arguments, report))
            failed.update(read_failures(report))
    for name, count in sorted(failed.items()):
        print(f"failed {count} of {options.times} times: {name}")
    if not any(codes):
        print(f"no test failed in {options.times} runs beside {options.loops} busy loops")
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
