"""Steady work of every kind: a server with small limits, and a client process.

``python -m endurance.soak_workload DIRECTORY PORT NUMBER`` works until its standard input ends.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from applications import Workshop

from zmqruntime.execution import (
    Conflict,
    ExecutionCancelled,
    ExecutionClient,
    ExecutionFailed,
    ExecutionHandle,
)
from zmqruntime.transport import ZMQConfig

__all__ = ["BoundedServer"]

PATIENCE = 60.0
_PAUSE_SECONDS = 0.02
_RECONNECTS_AFTER = 100


class BoundedServer(Workshop):
    """Has small limits, which are reached soon."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, history_limit=200, unread_limit=200, events_kept=50, **kwargs)


def compute(client: ExecutionClient) -> None:
    client.execute({"do": "echo", "value": ["x" * 1000]}, timeout=PATIENCE)


def follow(client: ExecutionClient) -> None:
    *_, last = client.submit_execution({"do": "count", "steps": 50}).progress()
    assert last.type == "state"


def fail(client: ExecutionClient) -> None:
    handle = client.submit_execution({"do": "fail", "message": "on purpose"})
    expect(ExecutionFailed, handle)


def cancel(client: ExecutionClient) -> None:
    handle = client.submit_execution({"do": "sleep"})
    try:
        handle.cancel()
    except Conflict:
        return
    expect(ExecutionCancelled, handle)


def attach(client: ExecutionClient) -> None:
    name = client.submit_execution({"do": "echo", "value": 7}).execution_id
    assert client.attach(name).result(PATIENCE) == 7
    client.attach(name).log_tail()


def submit_many(client: ExecutionClient) -> None:
    for handle in client.submit_many([{"do": "echo", "value": n} for n in range(20)]):
        handle.wait(PATIENCE)


def expect(error: type[Exception], handle: ExecutionHandle) -> None:
    try:
        handle.result(PATIENCE)
    except error:
        return
    raise AssertionError(f"{handle} did not raise {error.__name__}")


ACTIONS: list[Callable[[ExecutionClient], None]] = [
    compute,
    compute,
    follow,
    fail,
    cancel,
    attach,
    submit_many,
]


def await_end(over: threading.Event) -> None:
    """Wait for the end of standard input."""
    sys.stdin.read()
    over.set()


def main() -> None:
    directory, port, number = sys.argv[1:]
    place = Path(directory)
    config = ZMQConfig(default_port=int(port), runtime_dir=place / "run", log_dir=place / "log")
    rng = random.Random(f"steady {number}")
    over = threading.Event()
    threading.Thread(target=await_end, args=(over,), daemon=True).start()
    done = 0
    while not over.is_set():
        with ExecutionClient(config=config, progress_callback=lambda _: None) as client:
            for _ in itertools.repeat(None, _RECONNECTS_AFTER):
                rng.choice(ACTIONS)(client)
                done += 1
                if over.wait(_PAUSE_SECONDS):
                    break
    print(done, flush=True)


if __name__ == "__main__":
    main()
