"""Whoever is slow or stopped holds up nobody, costs a bounded amount, and catches up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil
import pytest
from places import Place
from waiting import PATIENCE, eventually

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs SIGSTOP")

EVENTS = 30_000
LAST = EVENTS + 3  # queued, running, and complete
GROWTH_BYTES = 25e6


@posix_only
def test_a_subscriber_that_is_stopped_holds_up_nobody_and_ends_with_the_right_last_state(
    make_place: Callable[..., Place],
) -> None:
    place = make_place(data_high_water_mark=2000)
    client = place.client("Workshop")
    client.execute({"do": "count", "steps": 2000}, timeout=PATIENCE)
    server = psutil.Process(client.ping().process.pid)
    before = server.memory_info().rss
    watcher = place.client_process("watch")
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "watching\n"

    watcher.send_signal(signal.SIGSTOP)
    handle = client.submit_execution({"do": "count", "steps": EVENTS})
    give_up_at = time.monotonic() + PATIENCE
    while not handle.done():
        client.ping()
        assert time.monotonic() < give_up_at, handle.status()
    growth = server.memory_info().rss - before
    watcher.send_signal(signal.SIGCONT)

    assert growth < GROWTH_BYTES
    ended = watcher.stdout.readline().split()
    assert ended[:3] == ["ended", "complete", str(LAST)]
    assert int(ended[3]) < LAST, "nothing was dropped: the test tests nothing"
    assert watcher.stdout.readline().split() == ["in", "order", "True", str(LAST)]


@posix_only
def test_a_server_that_is_stopped_holds_up_a_task_only_for_a_moment(place: Place) -> None:
    client = place.client("Workshop")
    client.execute({"do": "echo"}, timeout=PATIENCE)
    pong = client.ping()
    server, (worker,) = psutil.Process(pong.process.pid), pong.workers
    handle = client.submit_execution({"do": "count_and_mark", "path": str(place.directory / "m")})
    # Its submission is answered before the worker has it.
    eventually(lambda: handle.status().started_at is not None, "the task runs")
    server.suspend()
    try:
        mark = place.directory / "m"
        eventually(mark.exists, "the task goes on without its server")
    finally:
        server.resume()
    assert handle.result(PATIENCE) == EVENTS
    record = handle.status()
    assert record.progress is not None
    assert record.progress.completed == EVENTS, "the latest report was lost"
    assert worker.pid
