"""An application whose tasks write, report, and wait for a file."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zmqruntime.execution import (
    ExecuteRequest,
    ExecutionContext,
    ExecutionServer,
    InMemoryLifecycleEngine,
    LifecycleEngine,
)
from zmqruntime.messages import JsonValue

__all__ = ["Chatty", "Configured", "Kept", "OnDisk", "Talker", "blocked"]

_PATIENCE = 60.0


class Talker(ExecutionServer):
    """Performs the actions in the fields of its task, in this order."""

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        task = request.task
        if isinstance(words := task.get("say"), str):
            print(words)
            os.write(2, f"native {words}\n".encode())
            command = [sys.executable, "-c", f"print('child {words}')"]
            subprocess.run(command, check=True)
        if isinstance(message := task.get("log"), str):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING):
                logging.getLogger("talking").log(level, message)
                logging.log(level, "root %s", message)
                logging.getLogger("zmqruntime.client").log(level, "ours %s", message)
            try:
                raise ValueError(message)
            except ValueError:
                logging.getLogger("talking").exception("failed")
        if isinstance(message := task.get("log elsewhere"), str):
            with contextlib.redirect_stderr(io.StringIO()) as elsewhere:
                logging.getLogger("talking").info(message)
            return elsewhere.getvalue()
        if isinstance(lines := task.get("lines"), int):
            for n in range(lines):
                print(f"line {n:60}")
        if isinstance(count := task.get("report"), int):
            for n in range(1, count + 1):
                context.report_progress(n, count)
        if isinstance(gate := task.get("gate"), str):
            context.report_progress(phase="waits")
            while not Path(gate).exists():
                time.sleep(0.005)
        if isinstance(reason := task.get("raise"), str):
            raise ValueError(reason)
        if isinstance(holds := task.get("hold"), str):
            Path(holds).touch()
            re.match(r"(a+)+$", "a" * 64 + "b")  # Never releases the GIL.
        if "crash" in task:
            os.write(1, b"last words")
            os._exit(3)
        return task.get("result")


class Configured(Talker):
    """Has logging configured by its application."""

    def setup_worker(self) -> None:
        logging.basicConfig(format="own %(levelname)s %(message)s", level=logging.WARNING)


class Chatty(Talker):
    """Logs at its start, so that `logging` adds its implicit handler to the root logger."""

    def setup_worker(self) -> None:
        logging.info("loaded")


class OnDisk(InMemoryLifecycleEngine):
    """An in-memory stand-in for a journal's engine."""

    @property
    def durable(self) -> bool:
        return True


class Kept(Talker):
    """A server with an engine that outlives it."""

    def __init__(self, engine: LifecycleEngine, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._engine: LifecycleEngine | None = engine

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_engine": None}

    def make_engine(self) -> LifecycleEngine:
        assert self._engine is not None
        return self._engine


@contextlib.contextmanager
def blocked(server: Kept) -> Iterator[None]:
    """Block a server's loop."""
    begun, unblock = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        unblock.wait(_PATIENCE)

    assert server.server_session is not None
    server.server_session.loop.post(block)
    assert begun.wait(_PATIENCE)
    try:
        yield
    finally:
        unblock.set()
