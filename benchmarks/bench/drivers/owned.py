"""The processes that a driver starts: what they say goes to a file, and none outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from bench.contender import Wrong

__all__ = ["OwnedProcesses", "end_processes", "family_of", "wait_until"]

_PATIENCE = 60.0


class OwnedProcesses:
    """Some processes and all that they start.

    Args:
        place: where they run, and write.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], variables: dict[str, str] | None = None) -> None:
        """Start one more."""
        with (self._place / "output").open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=self._place,
                env=os.environ | (variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)

    def start_module(self, line: str, variables: dict[str, str] | None = None) -> None:
        """Start one more, of this Python: a module and its options, none with a space in it."""
        self.start([sys.executable, "-m", *line.split()], variables)

    @property
    def pids(self) -> list[int]:
        """Of all of them, in the order of their start, each before its children."""
        found = []
        for process in self._processes:
            if process.poll() is not None:
                said = (self._place / "output").read_text(errors="replace")
                raise Wrong(f"{process.args!r} has ended: {said[-500:]}")
            family = psutil.Process(process.pid)
            found += [family.pid, *(child.pid for child in family.children(recursive=True))]
        return found

    def end(self) -> None:
        """Kill all of them, and wait until they are gone."""
        end_processes(
            [
                member
                for process in self._processes
                if process.poll() is None
                for member in family_of(process.pid)
            ]
        )
        for process in self._processes:
            process.wait()


def family_of(pid: int) -> list[psutil.Process]:
    """Return a process and all that it has started."""
    head = psutil.Process(pid)
    return [head, *head.children(recursive=True)]


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """Kill them, and wait until they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=_PATIENCE)


def wait_until(ready: Callable[[], object], what: str) -> None:
    """Poll until a condition holds: these systems send no notification."""
    deadline = time.monotonic() + _PATIENCE
    while not ready():
        if time.monotonic() > deadline:
            raise Wrong(f"in {_PATIENCE:g} s it was not so: {what}")
        time.sleep(0.005)
