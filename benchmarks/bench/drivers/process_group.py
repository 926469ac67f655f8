"""The processes of a driver, with their output in a file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from bench.contender import WrongResult

__all__ = ["ProcessGroup", "end_processes", "family_of", "wait_until"]

_PATIENCE = 60.0


class ProcessGroup:
    """Processes and their descendants.

    Args:
        place: their working directory, with the file ``output``.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], variables: dict[str, str] | None = None) -> None:
        """Start a process."""
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
        """Start a module with this Python; ``line`` is split at spaces."""
        self.start([sys.executable, "-m", *line.split()], variables)

    @property
    def pids(self) -> list[int]:
        """The pids in the order of the start, each before its children's."""
        found = []
        for process in self._processes:
            if process.poll() is not None:
                output = (self._place / "output").read_text(errors="replace")
                raise WrongResult(f"{process.args!r} has ended: {output[-500:]}")
            family = psutil.Process(process.pid)
            found += [family.pid, *(child.pid for child in family.children(recursive=True))]
        return found

    def end(self) -> None:
        """Kill all processes, and wait for their ends."""
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
    """Return a process and its descendants."""
    head = psutil.Process(pid)
    return [head, *head.children(recursive=True)]


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """Kill processes, and wait for their ends."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=_PATIENCE)


def wait_until(ready: Callable[[], object], what: str) -> None:
    """Poll a condition: these systems send no notification."""
    deadline = time.monotonic() + _PATIENCE
    while not ready():
        if time.monotonic() > deadline:
            raise WrongResult(f"not true after {_PATIENCE:g} s: {what}")
        time.sleep(0.005)
