"""Tasks with side effects on their worker process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from applications import BEGUN, Workshop

from zmqruntime.execution import ExecutionContext
from zmqruntime.messages import JsonValue

__all__ = ["SideEffects"]


class SideEffects(Workshop):
    """A workshop whose tasks also change state that the next task relies on."""

    def do_handle_interrupts_in_asyncio(self, context: ExecutionContext) -> JsonValue:
        async def serve() -> None:
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)

        asyncio.run(serve())  # Leaves Python's default handler of SIGINT.
        return None

    def do_ignore_sigint(self, context: ExecutionContext) -> JsonValue:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return None

    def do_block_interrupts(self, context: ExecutionContext) -> JsonValue:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        return None

    def do_close_its_output(self, context: ExecutionContext) -> JsonValue:
        sys.stdout.close()
        sys.stderr.close()
        return None

    def do_leave_a_removed_directory(self, context: ExecutionContext) -> JsonValue:
        directory = tempfile.mkdtemp()
        os.chdir(directory)
        Path(directory).rmdir()
        return None

    def do_change_the_environment(self, context: ExecutionContext) -> JsonValue:
        os.environ["DISTURBED"] = "1"
        return None

    def do_describe_process(self, context: ExecutionContext) -> JsonValue:
        print("printed")
        return {"directory": str(Path.cwd()), "disturbed": os.environ.get("DISTURBED")}

    def do_clean_up(self, context: ExecutionContext, path: str) -> JsonValue:
        """Wait for a cancel, and clean up for 0.3 s."""
        context.report_progress(phase=BEGUN)
        try:
            time.sleep(3600)
        finally:
            time.sleep(0.3)
            Path(path).touch()
        return None

    def do_handle_interrupt(self, context: ExecutionContext) -> JsonValue:
        """Return when the task's own signal handler has run."""
        received: list[int] = []
        signal.signal(signal.SIGINT, lambda number, _: received.append(number))
        context.report_progress(phase=BEGUN)
        while not received:
            time.sleep(0.01)
        return len(received)

    def do_import(self, context: ExecutionContext, directory: str, name: str) -> JsonValue:
        sys.path.insert(0, directory)
        context.report_progress(phase=BEGUN)
        __import__(name)
        return "imported"
