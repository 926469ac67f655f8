"""Much at once: a crowd of clients, a long queue, and a subscriber that does not listen.

``python -m endurance.load``. Exits with 1 and a sentence when a promise is not kept.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import psutil
from endurance.figures import Figure, percentile, tell, time_each
from endurance.ledger import read_ledger
from places import Place
from rich.console import Console
from rich.progress import Progress, TaskID

from zmqruntime.execution import ExecutionClient
from zmqruntime.messages import ShutdownMode

__all__ = ["crowd", "queue", "subscriber"]

Show = Callable[[float], None]
"""Takes which part of the work is done."""

PROCESSES, THREADS, EACH = 4, 50, 50
QUEUED, SAMPLE, SERIES = 100_000, 1000, 5
EVENTS = 1_000_000
_MEGABYTE = 1e6
_FOREVER = 3600.0


def crowd(place: Place, show: Show) -> Iterator[Figure]:
    """200 clients submit 50 each at once, and wait for all of them."""
    serve(place, "endurance.ledger:Ledger")
    wanted = PROCESSES * THREADS * EACH
    ledger = place.directory / "ledger"
    task = json.dumps([str(place.directory), place.config.default_port, THREADS, EACH])
    people = [
        subprocess.Popen(
            [sys.executable, "-m", "endurance.crowd", task],
            env=place.full_environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in people:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    begun = time.perf_counter()
    told: list[str] = []
    waiters = [threading.Thread(target=lambda p=p: told.append(p.communicate()[0])) for p in people]
    for waiter in waiters:
        waiter.start()
    while any(waiter.is_alive() for waiter in waiters):
        waiters[-1].join(0.5)
        show(sum(read_ledger(ledger).values()) / wanted)
    seconds = time.perf_counter() - begun
    runs = read_ledger(ledger)
    yield Figure("a crowd: without the right result", wanted - sum(map(int, told)), "", 0)
    yield Figure("a crowd: begun twice", sum(count > 1 for count in runs.values()), "", 0)
    yield Figure("a crowd: submitted, run and awaited", wanted / seconds, "per second")


def queue(place: Place, show: Show) -> Iterator[Figure]:
    """100,000 wait: submitting one more, asking for one and asking for the server stay fast."""
    client = serve(place, "endurance.ledger:Ledger")
    ledger = str(place.directory / "ledger")
    task = {"ledger": ledger}
    first = client.submit_execution({"ledger": ledger, "seconds": _FOREVER})

    def submit() -> None:
        client.submit_execution(task)

    # Of several series the best is told: others may be busy on this machine for a while.
    def submit_series() -> float:
        return min(sum(time_each(submit, SAMPLE)) for _ in range(SERIES)) / 1000

    def ask() -> list[float]:
        return [
            min(percentile(time_each(call, SAMPLE), 50) for _ in range(SERIES))
            for call in (client.ping, first.status)
        ]

    time_each(submit, SAMPLE)  # Nobody is as fast at first as later.
    submits, asked = submit_series(), ask()
    while (there := client.ping().queued_count) < QUEUED - SERIES * SAMPLE:
        client.submit_many([task] * SAMPLE)
        show(there / QUEUED)
    grown, last_asked = submit_series() / submits, ask()
    assert client.ping().queued_count == QUEUED
    yield Figure("a queue: 1,000 submits at its start", submits, "s")
    yield Figure("a queue: the last 1,000 of 100,000, by that", grown, "", 1.3)
    for name, before, after in zip(("ping", "status"), asked, last_asked, strict=True):
        yield Figure(f"a queue: {name} at 6,000, p50", before, "ms")
        yield Figure(f"a queue: {name} at 100,000, by that", after / before, "", 1.3)


def subscriber(place: Place, show: Show) -> Iterator[Figure]:
    """A million events pass while one who wants them all is stopped."""
    client = serve(place, "applications:Workshop")
    watcher = place.client_process("watch")
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "watching\n"
    watcher.send_signal(signal.SIGSTOP)
    server = psutil.Process(client.ping().process.pid)
    before = server.memory_info().rss
    at_rest = time_each(client.ping, SAMPLE)
    begun = time.perf_counter()
    handle = client.submit_execution({"do": "count", "steps": EVENTS})
    highest, took = before, []
    record = handle.status()
    while not record.status.is_terminal:
        threading.Event().wait(0.005)
        took += time_each(client.ping, 1)
        record = handle.status()
        highest = max(highest, server.memory_info().rss)
        if record.progress is not None:
            show((record.progress.completed or 0) / EVENTS)
    seconds = time.perf_counter() - begun
    watcher.send_signal(signal.SIGCONT)
    _, status, last, seen = watcher.stdout.readline().split()
    is_right = (status, int(last)) == ("complete", EVENTS + 3)
    yield Figure("a stopped subscriber: events", EVENTS / seconds, "per second")
    yield Figure("a stopped subscriber: memory", (highest - before) / _MEGABYTE, "MB", 50)
    yield Figure("a stopped subscriber: ping without events, p99", percentile(at_rest, 99), "ms")
    yield Figure("a stopped subscriber: ping, p50", percentile(took, 50), "ms")
    yield Figure("a stopped subscriber: ping, p99", percentile(took, 99), "ms", 10)
    yield Figure("a stopped subscriber: ends without the last state", not is_right, "", 0)
    yield Figure("a stopped subscriber: events that it saw", int(seen), "")


PARTS = {"crowd": crowd, "queue": queue, "subscriber": subscriber}


def serve(place: Place, target: str) -> ExecutionClient:
    """Start a server with a journal, and return a client of it."""
    files = [
        f"--journal={place.directory / 'journal'}",
        f"--log-file={place.directory / 'log.txt'}",
    ]
    server = place.start("-m", "zmqruntime.execution", target, *place.options, *files)
    return place.attach(server)


def measure(part: Callable[[Place, Show], Iterator[Figure]], show: Show) -> list[Figure]:
    """Return the figures of one part, each measured in a place of its own."""
    place = Place()
    try:
        figures = list(part(place, show))
        place.client().shutdown_server(ShutdownMode.NOW)
    finally:
        place.close()
    return figures


def _show(progress: Progress, bar: TaskID, done: float) -> None:
    progress.update(bar, completed=done)


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s load --", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append")
    parts = parser.parse_args().only or list(PARTS)
    console = Console()
    figures: list[Figure] = []
    with Progress(console=console) as progress:
        for part in parts:
            bar = progress.add_task(part, total=1.0)
            figures += measure(PARTS[part], partial(_show, progress, bar))
            progress.update(bar, completed=1.0)
    return tell(console, figures)


if __name__ == "__main__":
    sys.exit(main())
