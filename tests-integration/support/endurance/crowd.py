"""Many clients in one process: ``python -m endurance.crowd JSON``.

It says ``ready`` when all of them are connected, begins when its standard input ends, and says how
many of its executions came to what they should have.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zmqruntime.execution import ExecutionClient
from zmqruntime.transport import ZMQConfig

PATIENCE = 600.0


def submit_and_wait(client: ExecutionClient, ledger: str, each: int) -> int:
    """Return how many results were right."""
    handles = [
        client.submit_execution({"ledger": ledger, "number": number}) for number in range(each)
    ]
    return sum(
        handle.result(PATIENCE) == {"square": number**2} for number, handle in enumerate(handles)
    )


def main() -> None:
    directory, port, clients, each = json.loads(sys.argv[1])
    place = Path(directory)
    config = ZMQConfig(default_port=port, runtime_dir=place / "run", log_dir=place / "log")
    crowd = [ExecutionClient(config=config) for _ in range(clients)]
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(lambda client: client.connect(), crowd))
        print("ready", flush=True)
        sys.stdin.read()
        ledger = str(place / "ledger")
        right = threads.map(lambda client: submit_and_wait(client, ledger, each), crowd)
        print(sum(right), flush=True)
        list(threads.map(lambda client: client.disconnect(), crowd))


if __name__ == "__main__":
    main()
