"""A suspended process blocks no other one, costs bounded memory, and catches up."""

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
def test_suspended_subscriber_blocks_no_task_and_receives_the_terminal_event(
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
    deadline = time.monotonic() + PATIENCE
    while not handle.done():
        client.ping()
        assert time.monotonic() < deadline, handle.status()
    growth = server.memory_info().rss - before
    watcher.send_signal(signal.SIGCONT)

    assert growth < GROWTH_BYTES
    ended = watcher.stdout.readline().split()
    assert ended[:3] == ["ended", "complete", str(LAST)]
    assert int(ended[3]) < LAST, "no event was dropped: EVENTS is too small"
    assert watcher.stdout.readline().split() == ["in", "order", "True", str(LAST)]


@posix_only
def test_suspended_server_does_not_block_its_task(place: Place) -> None:
    client = place.client("Workshop")
    client.execute({"do": "echo"}, timeout=PATIENCE)
    pong = client.ping()
    server, (worker,) = psutil.Process(pong.process.pid), pong.workers
    handle = client.submit_execution({"do": "count_and_mark", "path": str(place.directory / "m")})
    # The reply to a submission is sent before the worker has the task.
    eventually(lambda: handle.status().started_at is not None, "the task runs")
    server.suspend()
    try:
        mark = place.directory / "m"
        eventually(mark.exists, "the task goes on while its server is suspended")
    finally:
        server.resume()
    assert handle.result(PATIENCE) == EVENTS
    record = handle.status()
    assert record.progress is not None
    assert record.progress.completed == EVENTS, "the latest report was lost"
    assert worker.pid
