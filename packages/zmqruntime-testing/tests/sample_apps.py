"""Applications as their developers would write them, for the fixtures to run."""

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
from zmqruntime.testing.endpoint import locate
from zmqruntime.transport import RequestTimeout, ZMQClient


class Stitcher(ExecutionServer):
    """Reports one step for each tile."""

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
    """Sleeps until it is told to stop; a "deaf" one sleeps on."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        while True:
            try:
                context.report_progress(message="sleeping")
                time.sleep(1000)
            except TaskCancelled:
                if not request.task.get("deaf"):
                    raise


class Leaver(ExecutionServer):
    """Leaves a process behind, which it starts, and returns its pid."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        code = "import time; time.sleep(1000)"
        # In a group of its own: only its parentage tells whose it is.
        return subprocess.Popen([sys.executable, "-c", code], start_new_session=True).pid


class Mute(ExecutionServer):
    """Never comes back from a ping, until it is let go."""

    let_go = threading.Event()
    stuck = threading.Event()

    def describe(self) -> JsonObject:
        if not self.let_go.is_set():
            self.stuck.set()
        self.let_go.wait()
        return {}

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        return None


def get_stuck(server: Mute) -> None:
    """Ping a server that does not come back from it."""
    Mute.let_go.clear()
    Mute.stuck.clear()
    # A busy machine may take longer than one attempt to greet a new connection.
    for _ in range(300):
        with contextlib.suppress(RequestTimeout):
            ZMQClient(**locate(server.endpoint), config=server.config).connect(0.1)
        if Mute.stuck.is_set():
            return
    raise AssertionError("the server was not pinged")


class Delegator(ExecutionServer):
    """Has its steps done, and reported, by a process and a thread of its own."""

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
    """Report so many steps, in whichever process this is called."""
    for n in range(1, steps + 1):
        reporter.report(n, 4)
