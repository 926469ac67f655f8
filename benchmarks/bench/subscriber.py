"""A subscriber to the progress of all tasks, in a process of its own.

``python -m bench.subscriber CONTENDER PLACE COUNT`` subscribes COUNT times, says ``ready``,
and then answers each line on its standard input with how it stands, until there are no more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.contender import Wrong
from bench.contenders import find_driver

__all__ = ["Subscribers", "subscribed"]

_PATIENCE = 60.0
_PROCESSES = 4


class Tally:
    """What one subscription has received."""

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        self.last = 0
        self.at = 0.0

    def hear(self, number: int, sent: float | None) -> None:
        if number <= self.last:
            # Said in full, for it is never right: nothing comes twice or out of order.
            print(f"report {number} came behind {self.last}", file=sys.stderr)
            self.lost = -1_000_000
        self.lost += number - self.last - 1
        self.received += 1
        self.last = number
        self.at = time.monotonic()


class Subscribers:
    """Processes with subscriptions, seen from the process that asked for them."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def look(self) -> list[dict[str, Any]]:
        """Return how each subscription stands."""
        found = []
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            found += json.loads(_read(process))
        return found

    def wait(self, last: int) -> list[dict[str, Any]]:
        """Return how each stands as soon as all have heard the last report."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            tallies = self.look()
            if all(tally["last"] == last for tally in tallies):
                return tallies
            if time.monotonic() > deadline:
                raise Wrong(f"report {last} has not reached each subscriber: {tallies}")
            time.sleep(0.1)  # What is measured is when they heard it, not when we see it.


@contextmanager
def subscribed(name: str, place: Path, count: int) -> Iterator[Subscribers]:
    """Subscribe ``count`` times to the progress of all tasks, in up to four processes."""
    share, rest = divmod(count, _PROCESSES)
    shares = [share + (n < rest) for n in range(_PROCESSES)]
    with ExitStack() as stack:
        processes = []
        for part in filter(None, shares):
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.subscriber", name, str(place), str(part)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)
        for process in processes:
            if _read(process) != "ready\n":
                raise Wrong("a subscriber did not get ready")
        yield Subscribers(processes)


def _read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Wrong("a subscriber has ended")
    return line


def main(name: str, place: str, count: str) -> None:
    tallies = [Tally() for _ in range(int(count))]
    contender = find_driver(name)(Path(place))
    with contender.observe([tally.hear for tally in tallies]):
        print("ready", flush=True)
        for _ in sys.stdin:
            print(json.dumps([vars(tally) for tally in tallies]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
