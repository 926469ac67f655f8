"""Stopping the task in its own thread, as Ctrl-C would, and nothing but the task.

`signal.pthread_kill` wakes the main thread out of blocking calls (POSIX);
`_thread.interrupt_main` is the portable form, which waits for the next bytecode.

An interrupt that falls into an import is held back until the import has ended: a module whose
first import was interrupted cannot be imported again in the same process where its C part allows
one import only, as numpy's does. An import that runs a whole program is interrupted nevertheless,
after `Interrupt.import_patience`.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
import time
from contextlib import AbstractContextManager
from types import FrameType

from zmqruntime.execution.errors import TaskCancelled
from zmqruntime.execution.worker.child.import_lock import find_import, wait_for_import

__all__ = ["Interrupt"]

_FIRST_PATIENCE = 0.01
_MAX_PATIENCE = 5.0


class Interrupt:
    """Raises `TaskCancelled` in the main thread, once for each task that is told to stop.

    Args:
        signum: the signal by which it gets there.
    """

    def __init__(self, signum: signal.Signals = signal.SIGINT) -> None:
        self.signum = signum
        self._running: str | None = None
        self._requested: str | None = None
        self._ended: str | None = None
        self._shields = 0
        self._shield = _Shield(self)
        self._raised = False
        self._noticed = False
        self._importing: str | None = None
        """The module whose import holds the interrupt back."""
        self._was_held = False
        self._forced: str | None = None
        """The execution whose imports hold the interrupt back no longer."""
        self.import_patience = threading.TIMEOUT_MAX
        """How long imports may hold an interrupt back, in seconds."""
        # Let go whenever there is news for `request`. Nothing but a bare lock may be used in a
        # signal handler, which interrupts every other lock's own code as well.
        self._news = threading.Lock()
        self._news.acquire()
        self.seen = False
        """Whether the running task was told, and had a chance to act on it."""
        self.ordered = False
        """Whether the last task was ordered to stop before its end, heard or not."""

    def install(self) -> signal._HANDLER:
        """Take the signal over, in the main thread; return who had it before."""
        return signal.signal(self.signum, self._on_signal)

    def armed(self, execution_id: str) -> AbstractContextManager[None]:
        """Let `request` reach the task that runs inside, also one that was early."""
        return _Armed(self, execution_id)

    def disarm(self, execution_id: str) -> None:
        """End the time of a task. Any number of times, once it is over."""
        self._running, self._ended = None, execution_id
        if self._requested == execution_id:
            self._requested = None
            self._tell_news()

    def request(self, execution_id: str) -> bool:
        """Tell a task to stop, from any thread; return False when it does not run (yet).

        A server's assignment and its order to stop come by different sockets, in either
        order: what is told to stop before it runs never does.
        """
        if execution_id == self._ended:
            return False  # It came too late, and is not for another run of the same name.
        self._requested = execution_id
        if self._running != execution_id:
            return False
        # A signal that arrives just before a call that blocks is seen only after that call,
        # so it is sent until it has been seen. A handler of the task's own gets one signal: each
        # further one would interrupt its cleaning up.
        patience = _FIRST_PATIENCE
        forced_at = time.monotonic() + self.import_patience
        while self._running == execution_id and not self._noticed and patience < _MAX_PATIENCE:
            self._signal_main_thread()
            if not self._has_handler():
                break
            self._news.acquire(timeout=patience)
            patience *= 2
            if (module := self._importing) is not None:
                if not wait_for_import(module, forced_at - time.monotonic()):
                    self._forced = execution_id
                self._importing = None
                patience = _FIRST_PATIENCE
        return True

    @property
    def is_withheld(self) -> bool:
        """Whether the interrupt could not be raised where it arrived.

        An import held it back, or the task has replaced or blocked its signal.
        """
        if self._was_held or not self._has_handler():
            return True
        if not hasattr(signal, "pthread_sigmask"):
            return False
        return self.signum in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    @property
    def requested(self) -> bool:
        """Whether the running task was told to stop. The task that reads True has been told."""
        if self._is_requested():
            self.seen = True
        return self._is_requested()

    def shielded(self) -> AbstractContextManager[None]:
        """Hold an interrupt back until the outermost of these blocks ends."""
        return self._shield

    def _signal_main_thread(self) -> None:
        if hasattr(signal, "pthread_kill"):
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, self.signum)
        else:
            _thread.interrupt_main(self.signum)

    def _has_handler(self) -> bool:
        return signal.getsignal(self.signum) == self._on_signal

    def _is_requested(self) -> bool:
        return self._requested is not None and self._requested == self._running

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._is_requested():
            self._importing = None if self._forced == self._running else find_import(frame)
            self._noticed = self._importing is None
            self._tell_news()
            if self._importing is not None:
                self._was_held = True
                return  # It is sent again when the import has ended.
        self._raise_if_due()

    def _tell_news(self) -> None:
        with contextlib.suppress(RuntimeError):  # It was let go already.
            self._news.release()

    def _raise_if_due(self) -> None:
        if self._is_requested() and not self._raised and not self._shields:
            self._raised = self.seen = True
            raise TaskCancelled(f"execution {self._running} is to stop (process {os.getpid()})")


class _Armed(AbstractContextManager[None]):
    """The time of one task.

    A signal may raise before it is over, at the very end: who catches that disarms once more.
    """

    def __init__(self, interrupt: Interrupt, execution_id: str) -> None:
        self._interrupt = interrupt
        self._execution_id = execution_id

    def __enter__(self) -> None:
        interrupt = self._interrupt
        interrupt._raised = interrupt._noticed = interrupt.seen = interrupt.ordered = False
        interrupt._importing, interrupt._was_held, interrupt._forced = None, False, None
        interrupt._shields = 0
        interrupt._ended = None
        interrupt._running = self._execution_id
        try:
            interrupt._raise_if_due()
        except TaskCancelled:
            interrupt.disarm(self._execution_id)
            raise

    def __exit__(self, *_: object) -> None:
        self._interrupt.ordered = self._interrupt._is_requested()
        self._interrupt.disarm(self._execution_id)


class _Shield(AbstractContextManager[None]):
    """A block that is not interrupted; reusable, as it is entered for every progress report."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._main_thread = threading.main_thread().ident

    def __enter__(self) -> None:
        if threading.get_ident() == self._main_thread:  # Only that one is ever interrupted.
            self._interrupt._shields += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == self._main_thread:
            self._interrupt._shields -= 1
            if self._interrupt._requested is not None:
                self._interrupt._raise_if_due()
