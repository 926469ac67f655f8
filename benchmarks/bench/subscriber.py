"""A process with subscriptions to all progress.

``python -m bench.subscriber CONTENDER PLACE COUNT`` subscribes COUNT times, prints ``ready``, and
prints its counts for each line of its standard input.
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

from bench.contender import WrongResult
from bench.contenders import find_driver

__all__ = ["Subscribers", "subscribed"]

_PATIENCE = 60.0
_PROCESSES = 4


class Tally:
    """The counts of one subscription."""

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        self.last = 0
        self.at = 0.0

    def record(self, number: int, sent: float | None) -> None:
        if number <= self.last:
            # Always an error: no report may be duplicated or out of order.
            print(f"report {number} arrived after {self.last}", file=sys.stderr)
            self.lost = -1_000_000
        self.lost += number - self.last - 1
        self.received += 1
        self.last = number
        self.at = time.monotonic()


class Subscribers:
    """The parent's side of processes with subscriptions."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def poll(self) -> list[dict[str, Any]]:
        """Return the counts of each subscription."""
        found = []
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            found += json.loads(_read(process))
        return found

    def wait(self, last: int) -> list[dict[str, Any]]:
        """Wait until all have received the last report; return the counts."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            tallies = self.poll()
            if all(tally["last"] == last for tally in tallies):
                return tallies
            if time.monotonic() > deadline:
                raise WrongResult(f"report {last} has not reached all subscribers: {tallies}")
            time.sleep(0.1)  # The subscribers measure the time of arrival.


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
                raise WrongResult("a subscriber did not start")
        yield Subscribers(processes)


def _read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise WrongResult("a subscriber has ended")
    return line


def main(name: str, place: str, count: str) -> None:
    tallies = [Tally() for _ in range(int(count))]
    contender = find_driver(name)(Path(place))
    with contender.observe([tally.record for tally in tallies]):
        print("ready", flush=True)
        for _ in sys.stdin:
            print(json.dumps([vars(tally) for tally in tallies]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
