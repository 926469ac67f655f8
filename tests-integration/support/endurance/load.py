"""Load: many clients, a long queue, and a suspended subscriber.

``python -m endurance.load``. Exits with 1 and a message when a promise is broken.
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
from endurance.figures import Figure, percentile, print_figures, time_each
from endurance.recording_server import read_starts
from places import Place
from rich.console import Console
from rich.progress import Progress, TaskID

from zmqruntime.execution import ExecutionClient
from zmqruntime.messages import ShutdownMode

__all__ = ["clients", "queue", "subscriber"]

OnProgress = Callable[[float], None]
"""Takes the part of the work that is done, from 0 to 1."""

PROCESSES, THREADS, EACH = 4, 50, 50
QUEUED, SAMPLE, SERIES = 100_000, 1000, 5
EVENTS = 1_000_000
_MEGABYTE = 1e6
_FOREVER = 3600.0


def clients(place: Place, on_progress: OnProgress) -> Iterator[Figure]:
    """200 clients submit 50 executions each at the same time and wait for all of them."""
    serve(place, "endurance.recording_server:RecordingServer")
    expected = PROCESSES * THREADS * EACH
    starts = place.directory / "starts"
    task = json.dumps([str(place.directory), place.config.default_port, THREADS, EACH])
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "endurance.load_clients", task],
            env=place.full_environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    begun = time.perf_counter()
    outputs: list[str] = []
    waiters = [
        threading.Thread(target=lambda p=p: outputs.append(p.communicate()[0])) for p in processes
    ]
    for waiter in waiters:
        waiter.start()
    while any(waiter.is_alive() for waiter in waiters):
        waiters[-1].join(0.5)
        on_progress(sum(read_starts(starts).values()) / expected)
    seconds = time.perf_counter() - begun
    runs = read_starts(starts)
    yield Figure("clients: without the right result", expected - sum(map(int, outputs)), "", 0)
    yield Figure(
        "clients: executions that ran twice", sum(count > 1 for count in runs.values()), "", 0
    )
    yield Figure("clients: executions", expected / seconds, "per second")


def queue(place: Place, on_progress: OnProgress) -> Iterator[Figure]:
    """100,000 executions are queued: submit, status and ping stay fast."""
    client = serve(place, "endurance.recording_server:RecordingServer")
    starts = str(place.directory / "starts")
    task = {"starts": starts}
    first = client.submit_execution({"starts": starts, "seconds": _FOREVER})

    def submit() -> None:
        client.submit_execution(task)

    # The best of several series counts, since other processes use the machine as well.
    def submit_series() -> float:
        return min(sum(time_each(submit, SAMPLE)) for _ in range(SERIES)) / 1000

    def time_requests() -> list[float]:
        return [
            min(percentile(time_each(call, SAMPLE), 50) for _ in range(SERIES))
            for call in (client.ping, first.status)
        ]

    time_each(submit, SAMPLE)  # Warm-up.
    submits, medians = submit_series(), time_requests()
    while (queued := client.ping().queued_count) < QUEUED - SERIES * SAMPLE:
        client.submit_many([task] * SAMPLE)
        on_progress(queued / QUEUED)
    growth, last_medians = submit_series() / submits, time_requests()
    assert client.ping().queued_count == QUEUED
    yield Figure("queue: 1,000 submits at its start", submits, "s")
    yield Figure("queue: the last 1,000 of 100,000, relative", growth, "", 1.3)
    for name, before, after in zip(("ping", "status"), medians, last_medians, strict=True):
        yield Figure(f"queue: {name} at 6,000, p50", before, "ms")
        yield Figure(f"queue: {name} at 100,000, relative", after / before, "", 1.3)


def subscriber(place: Place, on_progress: OnProgress) -> Iterator[Figure]:
    """A million events are published while a subscriber to all of them is suspended."""
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
            on_progress((record.progress.completed or 0) / EVENTS)
    seconds = time.perf_counter() - begun
    watcher.send_signal(signal.SIGCONT)
    _, status, last, seen = watcher.stdout.readline().split()
    is_right = (status, int(last)) == ("complete", EVENTS + 3)
    yield Figure("suspended subscriber: events", EVENTS / seconds, "per second")
    yield Figure("suspended subscriber: memory", (highest - before) / _MEGABYTE, "MB", 50)
    yield Figure("suspended subscriber: ping without events, p99", percentile(at_rest, 99), "ms")
    yield Figure("suspended subscriber: ping, p50", percentile(took, 50), "ms")
    yield Figure("suspended subscriber: ping, p99", percentile(took, 99), "ms", 10)
    yield Figure("suspended subscriber: ended without the last state", not is_right, "", 0)
    yield Figure("suspended subscriber: received events", int(seen), "")


PARTS = {"clients": clients, "queue": queue, "subscriber": subscriber}


def serve(place: Place, target: str) -> ExecutionClient:
    """Start a server with a journal, and return a client of it."""
    files = [
        f"--journal={place.directory / 'journal'}",
        f"--log-file={place.directory / 'log.txt'}",
    ]
    server = place.start("-m", "zmqruntime.execution", target, *place.options, *files)
    return place.attach(server)


def measure(
    part: Callable[[Place, OnProgress], Iterator[Figure]], on_progress: OnProgress
) -> list[Figure]:
    """Return the figures of one part, measured with a server of its own."""
    place = Place()
    try:
        figures = list(part(place, on_progress))
        place.client().shutdown_server(ShutdownMode.NOW)
    finally:
        place.close()
    return figures


def _update(progress: Progress, bar: TaskID, done: float) -> None:
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
            figures += measure(PARTS[part], partial(_update, progress, bar))
            progress.update(bar, completed=1.0)
    return print_figures(console, figures)


if __name__ == "__main__":
    sys.exit(main())
