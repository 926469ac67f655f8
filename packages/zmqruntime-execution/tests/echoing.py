"""Applications that tests name, launch, or run in a worker."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from zmqruntime.execution import ExecuteRequest, ExecutionContext, ExecutionServer
from zmqruntime.execution.worker.child.outbox import ProgressOutbox
from zmqruntime.messages import JsonValue

__all__ = [
    "Around",
    "Broken",
    "BrokenLater",
    "Client",
    "Echo",
    "Keeping",
    "Locked",
    "Outer",
    "Unfinished",
    "a_function",
]


class Echo(ExecutionServer):
    """Performs the actions of its task, and returns its request."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        task = request.task
        if "delegate" in task:
            spawn: Any = multiprocessing.get_context("spawn")
            child = spawn.Process(target=context.reporter.report, args=(1, 2, "delegated"))
            child.start()
            child.join()
        if "sleep" in task:
            context.report_progress(phase="asleep")
            time.sleep(1000)
        if "fork" in task:
            os.fork()  # The child returns as well.
        if "babble" in task:
            send: Any = context.reporter._send
            (outbox,) = (
                cell.cell_contents
                for cell in send.__closure__
                if isinstance(cell.cell_contents, ProgressOutbox)
            )
            outbox._link._socket.send(b"\xff" * 20)
            time.sleep(1000)
        if "exit" in task:
            os._exit(int(str(task["exit"])))
        if "raise" in task:
            raise ValueError(task["raise"])
        return {"task": request.task, "config": request.config, "labels": {**context.labels}}


class Outer:
    class Inner(Echo):
        pass


class Unfinished(ExecutionServer):
    """A server without execute_task."""


class Keeping(Echo):
    """A server whose class sets a journal."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords, journal="the class's")


class Locked(Echo):
    """A server that cannot be pickled."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.lock = threading.Lock()


class Broken(Echo):
    """A server whose setup_worker raises."""

    def setup_worker(self) -> None:
        raise FileNotFoundError("no model here")


class BrokenLater(Echo):
    """A server whose setup_worker raises when a listener on a port has sent a byte."""

    def __init__(self, port: int, listening_port: int, **kwargs: Any) -> None:
        super().__init__(port, **kwargs)
        self._listening_port = listening_port

    def setup_worker(self) -> None:
        with socket.create_connection(("127.0.0.1", self._listening_port)) as connection:
            connection.recv(1)
        raise FileNotFoundError("no model here")


class Client:
    pass


class Around(ExecutionServer):
    """Returns the environment of its worker process."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        return {
            "pid": os.getpid(),
            "directory": str(Path.cwd()),
            "variable": os.environ.get("ZM_VARIABLE"),
            "path": list(sys.path),
            "arguments": list(sys.argv),
        }


def a_function() -> None:
    pass
