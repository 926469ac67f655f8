"""Tasks in this process's main thread, which another thread interrupts."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator

from zmqruntime.execution import TaskCancelled
from zmqruntime.execution.lowlevel import Interrupt

__all__ = ["installed", "run_armed", "when"]


@contextlib.contextmanager
def installed() -> Iterator[Interrupt]:
    """Yield an interrupt that handles SIGINT; restore pytest's handler afterwards."""
    interrupt = Interrupt()
    before = interrupt.install()
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def when(action: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Yield a trigger of one action in another thread, which has ended when the block ends."""
    steps: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    thread = threading.Thread(target=lambda: steps.get()())
    thread.start()
    try:
        yield lambda: steps.put(action)
    finally:
        steps.put(lambda: None)
        thread.join()


def run_armed(
    interrupt: Interrupt, body: Callable[[Callable[[], None]], object], name: str = "a"
) -> TaskCancelled | None:
    """Run a task that can request its own interrupt; return the interrupt that it raised."""
    with when(lambda: interrupt.request(name)) as stop:
        try:
            with interrupt.armed(name):
                body(stop)
        except TaskCancelled as cancelled:
            return cancelled
    return None
