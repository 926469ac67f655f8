"""Many clients in one process: ``python -m endurance.load_clients JSON``.

It prints ``ready`` when all are connected, begins when its standard input ends, and prints the
number of right results.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zmqruntime.execution import ExecutionClient
from zmqruntime.transport import ZMQConfig

PATIENCE = 600.0


def submit_and_wait(client: ExecutionClient, starts: str, each: int) -> int:
    """Return the number of right results."""
    handles = [
        client.submit_execution({"starts": starts, "number": number}) for number in range(each)
    ]
    return sum(
        handle.result(PATIENCE) == {"square": number**2} for number, handle in enumerate(handles)
    )


def main() -> None:
    directory, port, clients, each = json.loads(sys.argv[1])
    place = Path(directory)
    config = ZMQConfig(default_port=port, runtime_dir=place / "run", log_dir=place / "log")
    connections = [ExecutionClient(config=config) for _ in range(clients)]
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(lambda client: client.connect(), connections))
        print("ready", flush=True)
        sys.stdin.read()
        starts = str(place / "starts")
        right = threads.map(lambda client: submit_and_wait(client, starts, each), connections)
        print(sum(right), flush=True)
        list(threads.map(lambda client: client.disconnect(), connections))


if __name__ == "__main__":
    main()
