"""How a worker process begins: before it is told whose it is, since what it imports takes longest.

Imports next to nothing itself, so that a server can begin its first worker before all else.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.util import Finalize

TYPE_CHECKING = False  # To load `typing` would put off a worker's beginning.

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from zmqruntime.execution.worker.wire import WorkerSetup

__all__ = ["BegunWorker", "begin_ahead", "drop_begun", "take_begun"]


class BegunWorker:
    """A process that imports what a worker needs and waits to be told what to be.

    It ends by itself when this process does, or has dropped it.

    Args:
        module: the application's, if that is known by now.

    Raises:
        OSError: the system starts no process.
    """

    def __init__(self, module: str | None = None) -> None:
        spawn = multiprocessing.get_context("spawn")
        receiving, self._giving = spawn.Pipe(duplex=False)
        with receiving:
            self.process = spawn.Process(
                target=_become_worker, args=(receiving, module), name="zmqruntime-worker"
            )
            # The tracker comes first, since its start unblocks the signal again.
            resource_tracker.ensure_running()
            with _without_interrupts():
                self.process.start()
        # Before the process is waited for at this one's exit.
        self.drop = Finalize(self, self._giving.close, exitpriority=0)

    def give(self, setup: WorkerSetup) -> None:
        """Tell it what to be; its exit code tells if it has ended before."""
        with contextlib.suppress(OSError):
            self._giving.send(setup)
        self.drop()


_begun: list[BegunWorker] = []


def begin_ahead(module: str) -> None:
    """Begin the worker of a server that is about to be made; who starts it calls `drop_begun`."""
    with contextlib.suppress(OSError):  # Told by the one that is begun for the server, if it is.
        _begun.append(BegunWorker(module))


def take_begun() -> BegunWorker | None:
    """Return the worker that was begun ahead, once."""
    return _begun.pop() if _begun else None


def drop_begun() -> None:
    """Let a worker that was begun ahead, and that nobody took, end."""
    if (begun := take_begun()) is not None:
        begun.drop()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let no Ctrl-C reach a child, which inherits this, before it can tell what to do."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become_worker(receiving: Connection, module: str | None) -> None:
    gc.disable()  # Nothing of what is imported is garbage.
    from zmqruntime.execution.worker.main import worker_main

    if module is not None:
        # What is wrong with it is told when the server's object is read.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    gc.enable()
    with receiving, contextlib.suppress(EOFError):  # Nobody wants it.
        worker_main(receiving.recv())
