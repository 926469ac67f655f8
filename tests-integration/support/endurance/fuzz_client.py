"""The well-behaved client during an attack.

``python -m endurance.fuzz_client DIRECTORY PORT TRANSPORT``.
It prints ``ready`` when it is connected, works until its standard input ends, and prints `Work` as
JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from zmqruntime.execution import ExecutionClient, WaitTimeout
from zmqruntime.messages import ZMQRuntimeError
from zmqruntime.transport import TransportMode, ZMQConfig

__all__ = ["Work"]

PATIENCE = 30.0
_PAUSE_SECONDS = 0.002
_SUBMITS_AFTER, _FOLLOWS_AFTER = 20, 100


@dataclass(slots=True)
class Work:
    """The ping times in ms, the number of actions, and the failures."""

    pings: list[float] = field(default_factory=list)
    done: int = 0
    failures: list[str] = field(default_factory=list)


def act(client: ExecutionClient, work: Work, number: int) -> None:
    """Ping; from time to time run a task or follow one."""
    begun = time.perf_counter()
    client.ping(PATIENCE)
    work.pings.append((time.perf_counter() - begun) * 1000)
    if number % _SUBMITS_AFTER == 0:
        result = client.execute({"do": "echo", "value": number}, timeout=PATIENCE)
        if result != number:
            raise ValueError(f"the result of {number} is {result!r}")
    if number % _FOLLOWS_AFTER == 0:
        handle = client.submit_execution({"do": "count", "steps": 20})
        sequences = [event.sequence for event in handle.progress()]
        if sequences != list(range(1, len(sequences) + 1)):
            raise ValueError(f"the sequence numbers are {sequences}")
    work.done += 1


def work_until(over: threading.Event, client: ExecutionClient) -> Work:
    """Work until ``over`` is set or five actions have failed."""
    work = Work()
    number = 0
    while not over.wait(_PAUSE_SECONDS):
        number += 1
        try:
            act(client, work, number)
        except (ZMQRuntimeError, WaitTimeout, ValueError) as error:
            work.failures.append(f"{type(error).__name__}: {error}")
            if len(work.failures) >= 5:  # Further ones would repeat them.
                break
    return work


def await_end(over: threading.Event) -> None:
    """Wait for the end of standard input."""
    sys.stdin.read()
    over.set()


def main() -> None:
    directory, port, transport = sys.argv[1:]
    place = Path(directory)
    config = ZMQConfig(default_port=int(port), runtime_dir=place / "run", log_dir=place / "log")
    over = threading.Event()
    mode = TransportMode(transport)
    with ExecutionClient(
        config=config, transport_mode=mode, progress_callback=lambda _: None
    ) as client:
        client.execute({"do": "count", "steps": 100}, timeout=PATIENCE)
        print("ready", flush=True)
        threading.Thread(target=await_end, args=(over,), daemon=True).start()
        print(json.dumps(asdict(work_until(over, client))), flush=True)


if __name__ == "__main__":
    main()
