"""Sample applications that the tests of the fixtures run."""

from __future__ import annotations

import contextlib
import multiprocessing
import subprocess
import sys
import threading
import time
from typing import Any

from zmqruntime.execution import (
    ExecuteRequest,
    ExecutionContext,
    ExecutionServer,
    ProgressReporter,
    TaskCancelled,
)
from zmqruntime.messages import JsonObject, JsonValue
from zmqruntime.testing.endpoint import client_arguments
from zmqruntime.transport import RequestTimeout, ZMQClient


class Stitcher(ExecutionServer):
    """Reports progress once per tile."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.setups = 0

    def setup_worker(self) -> None:
        self.setups += 1

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        tiles = request.task["tiles"]
        assert isinstance(tiles, list)
        for n, tile in enumerate(tiles, start=1):
            context.report_progress(n, len(tiles), phase="stitch", message=str(tile))
        return {"stitched": len(tiles), "config": request.config}


class Sleeper(ExecutionServer):
    """Sleeps until it is interrupted; a "deaf" task ignores the interrupt."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        while True:
            try:
                context.report_progress(message="sleeping")
                time.sleep(1000)
            except TaskCancelled:
                if not request.task.get("deaf"):
                    raise


class Leaver(ExecutionServer):
    """Starts a process, leaves it running, and returns its pid."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        code = "import time; time.sleep(1000)"
        # In its own session: only the parent pid relates it to the worker.
        return subprocess.Popen([sys.executable, "-c", code], start_new_session=True).pid


class Mute(ExecutionServer):
    """Blocks in `describe`, and so in every ping, until it is released."""

    released = threading.Event()
    stuck = threading.Event()

    def describe(self) -> JsonObject:
        if not self.released.is_set():
            self.stuck.set()
        self.released.wait()
        return {}

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        return None


def get_stuck(server: Mute) -> None:
    """Block a server in a ping."""
    Mute.released.clear()
    Mute.stuck.clear()
    # On a busy machine the handshake of a connection may take longer than one attempt.
    for _ in range(300):
        with contextlib.suppress(RequestTimeout):
            ZMQClient(**client_arguments(server.endpoint), config=server.config).connect(0.1)
        if Mute.stuck.is_set():
            return
    raise AssertionError("the server was not pinged")


class Delegator(ExecutionServer):
    """Reports progress from a child process and from a thread."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        spawn: Any = multiprocessing.get_context(str(request.task["method"]))
        child = spawn.Process(target=report_steps, args=(context.reporter, 3))
        child.start()
        child.join()
        thread = threading.Thread(target=context.report_progress, args=(4, 4))
        thread.start()
        thread.join()
        return {"exit code": child.exitcode}


def report_steps(reporter: ProgressReporter, steps: int) -> None:
    """Report ``steps`` steps."""
    for n in range(1, steps + 1):
        reporter.report(n, 4)
