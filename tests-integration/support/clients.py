"""Clients as processes: ``python -m clients ACTION PORT ...``, as `places` starts them."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from zmqruntime.execution import (
    ExecutionClient,
    ExecutionServerLauncher,
    ProgressStreamSubscriber,
)
from zmqruntime.messages import ProgressEvent, ProgressScope, StateEvent
from zmqruntime.transport import TransportMode, ZMQConfig

FOREVER = 3600.0


def launch_and_leave(client: ExecutionClient) -> None:
    """Leave a persistent server with a queued execution."""
    client.submit_execution({"do": "echo", "value": "here it is"}, execution_id="left-behind")


def launch_and_print_pid(client: ExecutionClient) -> None:
    """Print the server's pid."""
    client.execute({"do": "echo"}, timeout=FOREVER)
    print(client.ping().process.pid)


def launch_and_stay(client: ExecutionClient) -> None:
    """Own a server with a running task, until this process is terminated."""
    handle = client.submit_execution({"do": "hold_children"})
    while (progress := handle.status().progress) is None:
        time.sleep(0.01)
    print("at work", progress.data, flush=True)
    time.sleep(FOREVER)


def watch(client: ExecutionClient) -> None:
    """Subscribe to all executions; print the terminal event of the first that ends."""
    seen: list[int] = []
    ended = threading.Event()

    def record(event: ProgressEvent | StateEvent) -> None:
        seen.append(event.sequence)
        if isinstance(event, StateEvent) and event.status.is_terminal:
            print("ended", event.status, event.sequence, len(seen), flush=True)
            ended.set()

    watcher = ProgressStreamSubscriber(client, "watcher", record, scope=ProgressScope.ALL)
    print("watching", flush=True)
    ended.wait(FOREVER)
    watcher.close()
    print("in order", seen == sorted(set(seen)), len(seen) + watcher.missed, flush=True)


def main() -> None:
    action, port, directory, transport, application, environment = sys.argv[1:]
    place = Path(directory)
    config = ZMQConfig(default_port=int(port), runtime_dir=place / "run", log_dir=place / "log")
    launcher = ExecutionServerLauncher(
        f"applications:{application}", environment=json.loads(environment)
    )
    client = ExecutionClient(
        config=config,
        transport_mode=TransportMode(transport) if transport else None,
        launcher=None if action == "watch" else launcher,
        persistent=action != "launch_and_stay",
    )
    client.connect(FOREVER)
    globals()[action](client)
    client.disconnect()


if __name__ == "__main__":
    main()
