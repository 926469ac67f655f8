"""Run the tests several times beside busy loops, and list the tests that failed.

`python .ci/busy.py [--times N] [--loops N] [arguments of pytest]`. A test that fails only here
asserts a time, or expects an event without waiting for it.
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

NICENESS = 5  # POSIX: a test gets a quarter of a core that it shares with a loop.
LOOP = "import os; p = os.getppid()\nwhile os.getppid() == p: pass"  # Ends with its parent.


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


def lower_priority() -> None:
    """Lower the priority of the test process, before it starts pytest."""
    os.nice(NICENESS)


def run_tests(arguments: list[str], report: Path) -> int:
    """Run pytest at a low priority, and return its exit code."""
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments]
    if hasattr(os, "nice"):
        return subprocess.run(command, preexec_fn=lower_priority, check=False).returncode
    # Windows has priority classes.
    flags = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
    return subprocess.run(command, creationflags=flags, check=False).returncode


def read_failures(report: Path) -> set[str]:
    """Return the tests that failed or were in error."""
    if not report.exists():
        return {"pytest wrote no report"}
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="number of runs; 3 by default")
    parser.add_argument("--loops", type=int, default=2, help="number of busy loops; 2 by default")
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
