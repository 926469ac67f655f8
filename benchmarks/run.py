"""Measure zmqruntime beside bare pyzmq, in one run, and check what is promised.

Every figure comes from work that was counted and checked. ``--json FILE`` keeps the figures.
Exits with 1 when a promise is not kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import bare
import zmq
from measure import Times, cpu_seconds, resident_bytes, time_calls, time_in_turns
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from zmqruntime.execution import BatchSubmitWaitEngine, ExecutionClient, ExecutionServerLauncher
from zmqruntime.messages import ProgressEvent, StateEvent
from zmqruntime.transport import ZMQConfig

ROUND_TRIPS = 3000
NO_OPS = 5000
EVENTS = 50_000
QUEUED = 10_000
IDLE_SECONDS = 10.0

NOTHING = {"do": "nothing"}
SPIN = {"do": "spin"}


class Figure(NamedTuple):
    """One line of the report."""

    name: str
    ours: float
    limit: float | None
    unit: str
    promise: str
    kept: bool


class Bare:
    """The client's side of the limit, and its two processes."""

    def __init__(self, directory: str) -> None:
        program = str(Path(__file__).with_name("bare.py"))
        self._processes = [
            subprocess.Popen([sys.executable, program, role, directory])
            for role in ("serve", "work")
        ]
        where = bare.addresses(directory)
        self._context: zmq.Context[Any] = zmq.Context()
        self._control = self._context.socket(zmq.DEALER)
        self._control.set_hwm(0)  # A ROUTER drops what a full pipe does not take.
        self._control.connect(where["control"])
        self._data = self._context.socket(zmq.SUB)
        self._data.rcvhwm = bare.HIGH_WATER_MARK
        self._data.subscribe(b"")
        self._data.connect(where["data"])
        assert self._data.recv() == bare.WELCOME
        self.ask(NOTHING)

    def send(self, task: dict[str, Any]) -> None:
        self._control.send_multipart([b"", json.dumps(task).encode()])

    def receive(self) -> Any:
        return json.loads(self._control.recv_multipart()[-1])

    def ask(self, task: dict[str, Any]) -> Any:
        self.send(task)
        return self.receive()

    def no_ops_per_second(self) -> float:
        start = time.perf_counter()
        for _ in range(NO_OPS):
            self.send(NOTHING)
        for _ in range(NO_OPS):
            assert self.receive() == {"result": None}
        return NO_OPS / (time.perf_counter() - start)

    def events_per_second(self) -> float:
        start = time.perf_counter()
        self.send({"do": "report", "events": EVENTS})
        for n in range(1, EVENTS + 1):
            assert json.loads(self._data.recv_multipart()[-1])["completed"] == n
        rate = EVENTS / (time.perf_counter() - start)
        self.receive()
        return rate

    def close(self) -> None:
        self._context.destroy(linger=0)
        for process in self._processes:
            process.kill()
            process.wait()


@contextmanager
def bare_limit() -> Iterator[Bare]:
    with tempfile.TemporaryDirectory(prefix="zb") as directory:
        limit = Bare(directory)
        try:
            yield limit
        finally:
            limit.close()


@contextmanager
def connected(
    callback: Callable[[ProgressEvent | StateEvent], None] | None = None,
    *,
    journal: bool = False,
) -> Iterator[ExecutionClient]:
    """Launch a fresh server and worker for one measurement."""
    with tempfile.TemporaryDirectory(prefix="zb") as directory:
        config = ZMQConfig(runtime_dir=Path(directory, "r"), log_dir=Path(directory, "l"))
        launcher = ExecutionServerLauncher(
            "bench_server:BenchServer", journal=Path(directory, "journal") if journal else None
        )
        client = ExecutionClient(
            config=config, launcher=launcher, persistent=False, progress_callback=callback
        )
        with client:
            yield client


def measure_round_trip() -> Iterator[Figure]:
    with bare_limit() as limit, connected() as client:
        least, ours = time_in_turns(
            [lambda: limit.ask(NOTHING), lambda: client.execute(NOTHING)], ROUND_TRIPS
        )
    kept = ours.p50 <= 2.5 * least.p50
    yield Figure("no-op round trip, p50", ours.p50, least.p50, "ms", "<= 2.5 x the limit", kept)
    yield Figure("no-op round trip, p99", ours.p99, least.p99, "ms", "<= 2 ms", ours.p99 <= 2)


def measure_throughput() -> Iterator[Figure]:
    with bare_limit() as limit:
        most = limit.no_ops_per_second()
    with connected() as client:
        rate = no_ops_per_second(client)
    yield Figure("5,000 no-ops, end to end", rate, most, "/s", ">= 2,500 /s", rate >= 2500)


def no_ops_per_second(client: ExecutionClient) -> float:
    start = time.perf_counter()
    engine = BatchSubmitWaitEngine(client, max_outstanding=NO_OPS)
    assert engine.run([NOTHING] * NO_OPS).results() == [None] * NO_OPS
    return NO_OPS / (time.perf_counter() - start)


def measure_journal_round_trip() -> Iterator[Figure]:
    with connected() as plain, connected(journal=True) as kept:
        least, ours = time_in_turns(
            [lambda: plain.execute(NOTHING), lambda: kept.execute(NOTHING)], ROUND_TRIPS
        )
    promise, in_time = "<= 1.8 x without", ours.p50 <= 1.8 * least.p50
    yield Figure("the same with a journal, to without", ours.p50, least.p50, "ms", promise, in_time)


def measure_journal_throughput() -> Iterator[Figure]:
    with connected() as plain, connected(journal=True) as kept:
        most, rate = no_ops_per_second(plain), no_ops_per_second(kept)
    promise = ">= 2,000 /s"
    yield Figure("5,000 no-ops with a journal, to without", rate, most, "/s", promise, rate >= 2000)


def measure_progress() -> Iterator[Figure]:
    with bare_limit() as limit:
        most = limit.events_per_second()
    seen: list[tuple[str, int]] = []
    with connected(lambda event: seen.append((event.execution_id, event.sequence))) as client:
        client.execute({"do": "report", "events": 1})
        start = time.perf_counter()
        handle = client.submit_execution({"do": "report", "events": EVENTS})
        for _ in handle.progress():
            pass
        rate = EVENTS / (time.perf_counter() - start)
    sequences = [sequence for name, sequence in seen if name == handle.execution_id]
    in_order = sequences == list(range(1, EVENTS + 4))  # queued, running, ..., complete
    kept = in_order and rate >= 30_000
    yield Figure("progress, all in order", rate, most, "/s", ">= 30,000 /s, none lost", kept)


def measure_ping() -> Iterator[Figure]:
    with bare_limit() as limit:
        least = time_calls(lambda: limit.ask({"do": "ping"}), ROUND_TRIPS)
    with connected() as client:
        for name, task in (("spins", SPIN), ("floods", {"do": "report", "events": 10**9})):
            with observed(client) as seen:
                handle = client.submit_execution(task)
                ours = time_calls(client.ping, 1000)
                handle.cancel()
                handle.wait()
            watched = name == "spins" or sum(seen) > 1000
            kept = watched and ours.p99 <= 10
            yield Figure(
                f"ping while a task {name}, p99", ours.p99, least.p99, "ms", "<= 10 ms", kept
            )


@contextmanager
def observed(client: ExecutionClient) -> Iterator[list[int]]:
    """Let another process watch all progress; afterwards the list has its count of events."""
    program = str(Path(__file__).with_name("observer.py"))
    seen: list[int] = []
    with subprocess.Popen(
        [sys.executable, program, str(client.config.runtime_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as observer:
        assert observer.stdin is not None
        assert observer.stdout is not None
        assert observer.stdout.readline() == "ready\n"
        yield seen
        observer.stdin.close()
        received, missed = observer.stdout.readline().split()
        seen.extend((int(received), int(missed)))


def measure_idle() -> Iterator[Figure]:
    with connected() as client:
        client.execute(NOTHING)
        server = client.ping().process.pid
        pids = [server, *(worker.pid for worker in client.ping().workers)]
        memory = resident_bytes(pids) / 1e6
        before = cpu_seconds(pids)
        time.sleep(IDLE_SECONDS)
        used = cpu_seconds(pids) - before
    yield Figure("idle, CPU in 10 s", used, None, "s", "<= 0.02 s", used <= 0.02)
    yield Figure("server and worker, resident", memory, None, "MB", "<= 110 MB", memory <= 110)


def measure_queue() -> Iterator[Figure]:
    with connected() as client:
        running = client.submit_execution(SPIN)

        def look() -> tuple[Times, Times]:
            return time_calls(client.ping, 1000), time_calls(running.status, 1000)

        empty = look()
        for _ in range(QUEUED):
            client.submit_execution(NOTHING)
        full = look()
    for name, without, with_queue in zip(("ping", "status"), empty, full, strict=True):
        ratio = with_queue.p50 / without.p50
        yield Figure(f"{name} with 10,000 queued, to none", ratio, None, "x", "<= 2 x", ratio <= 2)


MEASUREMENTS = (
    measure_round_trip,
    measure_throughput,
    measure_journal_round_trip,
    measure_journal_throughput,
    measure_progress,
    measure_ping,
    measure_idle,
    measure_queue,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to keep the figures")
    parser.add_argument("only", nargs="*", help="a part of a measurement's name")
    options = parser.parse_args()
    chosen = [
        m for m in MEASUREMENTS if not options.only or any(o in m.__name__ for o in options.only)
    ]
    figures: list[Figure] = []
    with Progress(transient=True) as progress:
        for measure in progress.track(chosen, description="measuring"):
            figures.extend(measure())
    table = Table("figure", "ours", "limit", "ratio", "promise", "")
    for figure in figures:
        ratio = "" if figure.limit is None else f"{figure.ours / figure.limit:.2f}"
        limit = "" if figure.limit is None else f"{figure.limit:,.3g} {figure.unit}"
        kept = "[green]kept" if figure.kept else "[red]broken"
        table.add_row(
            figure.name, f"{figure.ours:,.5g} {figure.unit}", limit, ratio, figure.promise, kept
        )
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps([figure._asdict() for figure in figures], indent=1))
    return 0 if all(figure.kept for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
