"""Somebody who watches everybody's progress, in a process of its own.

``python observer.py RUNTIME_DIR`` says ``ready``, counts events until its standard input
ends, and then says how many came and how many were missed.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from zmqruntime.execution import ExecutionClient, ProgressStreamSubscriber
from zmqruntime.messages import ProgressEvent, ProgressScope, StateEvent
from zmqruntime.transport import ZMQConfig

if __name__ == "__main__":
    numbers = count()

    def tell(_: ProgressEvent | StateEvent) -> None:
        next(numbers)

    with ExecutionClient(config=ZMQConfig(runtime_dir=Path(sys.argv[1]))) as client:
        watcher = ProgressStreamSubscriber(client, "observer", tell, scope=ProgressScope.ALL)
        print("ready", flush=True)
        sys.stdin.read()
        watcher.close()
        print(next(numbers), watcher.missed, flush=True)
