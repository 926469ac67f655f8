"""Tasks in this process's main thread, and somebody in another thread who tells them to stop."""

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
    """Yield an interrupt that has SIGINT; afterwards it is pytest's again."""
    interrupt = Interrupt()
    before = interrupt.install()
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def when(action: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """Yield what lets another thread act once; if it was used, that has acted when this ends."""
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
    """Run a task that can have itself told to stop; return what stopped it, if anything did."""
    with when(lambda: interrupt.request(name)) as stop:
        try:
            with interrupt.armed(name):
                body(stop)
        except TaskCancelled as cancelled:
            return cancelled
    return None
