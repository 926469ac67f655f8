"""Interrupts the running task in the main thread, as Ctrl-C would, and no other task.

`signal.pthread_kill` wakes the main thread out of blocking calls (POSIX);
`_thread.interrupt_main` is the portable form, which takes effect at the next bytecode.

An interrupt is deferred to the end of an import: a module whose first import was interrupted cannot
be imported again in the same process if its C part can be initialised only once, as numpy's. After
`Interrupt.import_patience`, an import that runs a whole program is interrupted nevertheless.
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

_FIRST_RESEND_SECONDS = 0.01
_MAX_RESEND_SECONDS = 5.0


class Interrupt:
    """Raises `TaskCancelled` in the main thread, once per interrupted task.

    Args:
        signum: the signal that carries the interrupt.
    """

    def __init__(self, signum: signal.Signals = signal.SIGINT) -> None:
        self.signum = signum
        self._running: str | None = None
        self._requested: str | None = None
        self._ended: str | None = None
        self._shields = 0
        self._shield = _Shield(self)
        self._raised = False
        self._delivered = False
        self._importing: str | None = None
        """The module whose import defers the interrupt."""
        self._was_deferred = False
        self._forced: str | None = None
        """The execution whose imports no longer defer the interrupt."""
        self.import_patience = threading.TIMEOUT_MAX
        """How long imports may defer an interrupt, in seconds."""
        # Released to wake `request`. A bare lock: a signal handler may interrupt the Python code
        # of every other lock.
        self._wakeup = threading.Lock()
        self._wakeup.acquire()
        self.seen = False
        """Whether the running task was interrupted, or has read `requested` as True."""
        self.ordered = False
        """Whether an interrupt of the last task was requested before its end, seen or not."""

    def install(self) -> signal._HANDLER:
        """Install the signal handler, in the main thread; return the previous one."""
        return signal.signal(self.signum, self._on_signal)

    def armed(self, execution_id: str) -> AbstractContextManager[None]:
        """Return a context in which a task can be interrupted, also by an earlier `request`."""
        return _Armed(self, execution_id)

    def disarm(self, execution_id: str) -> None:
        """End the period in which a task can be interrupted. Idempotent."""
        self._running, self._ended = None, execution_id
        if self._requested == execution_id:
            self._requested = None
            self._wake()

    def request(self, execution_id: str) -> bool:
        """Interrupt a task, from any thread; return False when it does not run (yet).

        A server sends an assignment and its interrupt by different sockets, so that they arrive in
        either order: a task that is interrupted before its start does not run.
        """
        if execution_id == self._ended:
            return False  # Late: a new run with this id is not affected.
        self._requested = execution_id
        if self._running != execution_id:
            return False
        # A signal that arrives just before a blocking call is handled only after that call, so it
        # is sent again until it is handled. A handler of the task's own gets one signal: further
        # ones would interrupt its cleanup.
        delay = _FIRST_RESEND_SECONDS
        forced_at = time.monotonic() + self.import_patience
        while self._running == execution_id and not self._delivered and delay < _MAX_RESEND_SECONDS:
            self._signal_main_thread()
            if not self._has_handler():
                break
            self._wakeup.acquire(timeout=delay)
            delay *= 2
            if (module := self._importing) is not None:
                if not wait_for_import(module, forced_at - time.monotonic()):
                    self._forced = execution_id
                self._importing = None
                delay = _FIRST_RESEND_SECONDS
        return True

    @property
    def is_withheld(self) -> bool:
        """Whether the interrupt could not be raised where it arrived.

        An import has deferred it, or the task has replaced or blocked the signal.
        """
        if self._was_deferred or not self._has_handler():
            return True
        if not hasattr(signal, "pthread_sigmask"):
            return False
        return self.signum in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    @property
    def requested(self) -> bool:
        """Whether an interrupt of the running task was requested. Reading True sets `seen`."""
        if self._is_requested():
            self.seen = True
        return self._is_requested()

    def shielded(self) -> AbstractContextManager[None]:
        """Return a block that defers an interrupt to the end of the outermost such block."""
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
            self._delivered = self._importing is None
            self._wake()
            if self._importing is not None:
                self._was_deferred = True
                return  # `request` sends the signal again after the import.
        self._raise_if_due()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # Already released.
            self._wakeup.release()

    def _raise_if_due(self) -> None:
        if self._is_requested() and not self._raised and not self._shields:
            self._raised = self.seen = True
            raise TaskCancelled(
                f"execution {self._running} was interrupted (process {os.getpid()})"
            )


class _Armed(AbstractContextManager[None]):
    """The period in which one task can be interrupted.

    The signal handler may raise within `__exit__`: a caller that catches it disarms once more.
    """

    def __init__(self, interrupt: Interrupt, execution_id: str) -> None:
        self._interrupt = interrupt
        self._execution_id = execution_id

    def __enter__(self) -> None:
        interrupt = self._interrupt
        interrupt._raised = interrupt._delivered = interrupt.seen = interrupt.ordered = False
        interrupt._importing, interrupt._was_deferred, interrupt._forced = None, False, None
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
    """A block that is not interrupted. Reusable, as each progress report enters it."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._main_thread = threading.main_thread().ident

    def __enter__(self) -> None:
        if threading.get_ident() == self._main_thread:  # No other thread is interrupted.
            self._interrupt._shields += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == self._main_thread:
            self._interrupt._shields -= 1
            if self._interrupt._requested is not None:
                self._interrupt._raise_if_due()
