"""Clients in processes of their own: run as ``python -m clients DEED PORT DIRECTORY TRANSPORT``."""

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
    """Leave a persistent server behind, with work to do."""
    client.submit_execution({"do": "echo", "value": "here it is"}, execution_id="left-behind")


def launch_and_tell(client: ExecutionClient) -> None:
    """Say which server it is that all are connected to."""
    client.execute({"do": "echo"}, timeout=FOREVER)
    print(client.ping().process.pid)


def launch_and_stay(client: ExecutionClient) -> None:
    """Own a server that is at work, until somebody ends this process."""
    handle = client.submit_execution({"do": "hold_children"})
    while (progress := handle.status().progress) is None:
        time.sleep(0.01)
    print("at work", progress.data, flush=True)
    time.sleep(FOREVER)


def watch(client: ExecutionClient) -> None:
    """Follow everybody's progress, and tell of the last event of the first execution to end."""
    seen: list[int] = []
    ended = threading.Event()

    def tell(event: ProgressEvent | StateEvent) -> None:
        seen.append(event.sequence)
        if isinstance(event, StateEvent) and event.status.is_terminal:
            print("ended", event.status, event.sequence, len(seen), flush=True)
            ended.set()

    watcher = ProgressStreamSubscriber(client, "watcher", tell, scope=ProgressScope.ALL)
    print("watching", flush=True)
    ended.wait(FOREVER)
    watcher.close()
    print("in order", seen == sorted(set(seen)), len(seen) + watcher.missed, flush=True)


def main() -> None:
    deed, port, directory, transport, application, environment = sys.argv[1:]
    place = Path(directory)
    config = ZMQConfig(default_port=int(port), runtime_dir=place / "run", log_dir=place / "log")
    launcher = ExecutionServerLauncher(
        f"applications:{application}", environment=json.loads(environment)
    )
    client = ExecutionClient(
        config=config,
        transport_mode=TransportMode(transport) if transport else None,
        launcher=None if deed == "watch" else launcher,
        persistent=deed != "launch_and_stay",
    )
    client.connect(FOREVER)
    globals()[deed](client)
    client.disconnect()


if __name__ == "__main__":
    main()
