"""Ctrl-C and SIGTERM as a request to end, however often they are sent."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["SignalWait", "ending_on_signals"]

# Ctrl-Break, on Windows, is the one that can be sent to a process in a group of its own.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)

# So long after a signal that ended a server, a further one is taken to mean that server, too.
_SAME_WISH_SECONDS = 2.0


class SignalWait:
    """Lets the main thread wait, and still handle every signal at once.

    The system may hand a signal to any thread; only the main one runs Python's handlers, and
    nobody wakes it up from a lock. So it waits for a socket, to which the interpreter writes
    when a signal arrives, wherever that is.
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)

    def wait(self, finished: threading.Event) -> None:
        """Block until ``finished``; who sets it calls `wake` afterwards."""
        while not finished.is_set():
            self._receiver.recv(4096)

    def wake(self) -> None:
        """Let the waiting thread look again. For any thread, at any time."""
        with contextlib.suppress(OSError):  # It looks already, or waits no more.
            self._sender.send(b"\0")

    @contextlib.contextmanager
    def told_of_signals(self) -> Iterator[None]:
        """Let the interpreter write here; in the main thread."""
        before = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)

    def close(self) -> None:
        """Give back the sockets."""
        self._receiver.close()
        self._sender.close()


@contextlib.contextmanager
def ending_on_signals(end: Callable[[], None]) -> Iterator[SignalWait]:
    """Call ``end`` for each signal that asks this process to end, in the main thread only.

    Yields:
        What to wait with, in whatever thread this is.
    """
    with contextlib.closing(SignalWait()) as wait:
        if threading.current_thread() is not threading.main_thread():
            yield wait
            return
        asked_at: float | None = None

        def on_signal(_: int, frame: FrameType | None) -> None:
            nonlocal asked_at
            asked_at = time.monotonic()
            end()

        with wait.told_of_signals():
            before: dict[signal.Signals, signal._HANDLER] = {}
            for signum in _SIGNALS:
                handler = signal.signal(signum, on_signal)
                # None: not one of Python's, so Python cannot set it again.
                before[signum] = signal.SIG_DFL if handler is None else handler
            try:
                yield wait
            finally:
                after = before
                if asked_at is not None:
                    after = dict.fromkeys(_SIGNALS, _outlast(asked_at, before))
                for signum, restored in after.items():
                    signal.signal(signum, restored)


def _outlast(
    asked_at: float, before: dict[signal.Signals, signal._HANDLER]
) -> Callable[[int, FrameType | None], None]:
    """Return a handler that makes nothing of an impatient second signal, then steps aside.

    Else pressing Ctrl-C twice would end an orderly end with a traceback.
    """

    def on_signal(signum: int, _: FrameType | None) -> None:
        if time.monotonic() - asked_at > _SAME_WISH_SECONDS:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.raise_signal(signum)

    return on_signal
