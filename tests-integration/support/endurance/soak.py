"""Steady work: memory, files and threads of server and worker must not grow.

``python -m endurance.soak --minutes 10``. Exits with 1 and a message when they do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import psutil
from endurance.figures import Figure, print_figures
from endurance.load import serve
from places import Place
from rich.console import Console
from rich.progress import Progress

__all__ = ["Sample", "compare", "soak"]

CLIENTS = 3
WARM_UP_SECONDS = 60.0
WINDOW_SECONDS = 20.0
"""The length of the first and last window after the warm-up, which are compared."""
_BETWEEN_SECONDS = 1.0
_GROWTH_PERCENT = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources of a process at one moment."""

    at: float
    memory: int
    files: int
    threads: int

    @classmethod
    def of(cls, process: psutil.Process, at: float) -> Sample:
        with process.oneshot():
            if sys.platform == "win32":
                files = process.num_handles()
            else:
                files = process.num_fds()
            return cls(at, process.memory_info().rss, files, process.num_threads())


def compare(name: str, samples: Sequence[Sample]) -> Iterator[Figure]:
    """Compare the first window with the last one.

    Memory by the median; files and threads by the minimum, since connections come and go and leaks
    stay.
    """
    samples = [sample for sample in samples if sample.at >= WARM_UP_SECONDS]
    first = [s for s in samples if s.at < samples[0].at + WINDOW_SECONDS]
    last = [s for s in samples if s.at > samples[-1].at - WINDOW_SECONDS]
    before, after = (median(s.memory for s in some) for some in (first, last))
    yield Figure(f"{name}: memory after the first minute", before / 1e6, "MB")
    yield Figure(f"{name}: more at the end", (after / before - 1) * 100, "%", _GROWTH_PERCENT)
    files = min(s.files for s in last) - min(s.files for s in first)
    yield Figure(f"{name}: more open files, of {min(s.files for s in first)}", files, "", 0)
    threads = min(s.threads for s in last) - min(s.threads for s in first)
    yield Figure(f"{name}: more threads, of {min(s.threads for s in first)}", threads, "", 0)


def soak(place: Place, minutes: float, on_progress: Callable[[float], None]) -> Iterator[Figure]:
    """Run clients, and sample the server and the worker."""
    client = serve(place, "endurance.soak_workload:BoundedServer")
    pong = client.connect()
    processes = {"server": pong.process.pid, "worker": client.ping().workers[0].pid}
    sampled = {name: psutil.Process(pid) for name, pid in processes.items()}
    samples: dict[str, list[Sample]] = {name: [] for name in sampled}
    processes_of_clients = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "endurance.soak_workload"),
                *(str(place.directory), str(place.config.default_port), str(number)),
            ],
            env=place.full_environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(CLIENTS)
    ]
    begun = time.monotonic()
    while (at := time.monotonic() - begun) < minutes * 60:
        for name, process in sampled.items():
            samples[name].append(Sample.of(process, at))
        on_progress(at / (minutes * 60))
        threading.Event().wait(_BETWEEN_SECONDS)
    outputs = [process.communicate(timeout=60)[0] for process in processes_of_clients]
    failed = sum(process.returncode != 0 for process in processes_of_clients)
    yield Figure("clients that failed", failed, "", 0)
    yield Figure("jobs done", sum(map(int, filter(None, outputs))), "")
    for name, some in samples.items():
        yield from compare(name, some)


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s soak --", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    if minutes * 60 < WARM_UP_SECONDS + 2 * WINDOW_SECONDS:
        parser.error("a soak takes at least 2 minutes")
    console = Console()
    place = Place()
    try:
        with Progress(console=console) as progress:
            bar = progress.add_task("soak", total=1.0)
            figures = list(soak(place, minutes, lambda done: progress.update(bar, completed=done)))
        place.client().shutdown_server()
    finally:
        place.close()
    return print_figures(console, figures)


if __name__ == "__main__":
    sys.exit(main())
