"""Ctrl-C and SIGTERM as requests to stop, also when they are repeated."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["SignalWait", "call_on_stop_signals"]

# Ctrl-Break (Windows) can be sent to a process in a group of its own.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)

# A signal that follows so soon on one that stopped a server is ignored.
_REPEAT_SECONDS = 2.0


class SignalWait:
    """A wait of the main thread that signals interrupt.

    Any thread may receive a signal, but only the main one runs Python's handlers, and a signal does
    not wake it up from a lock. So it waits for a socket, to which the interpreter writes a byte for
    each signal (`signal.set_wakeup_fd`).
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)

    def wait(self, finished: threading.Event) -> None:
        """Block until ``finished`` is set; its setter calls `wake` afterwards."""
        while not finished.is_set():
            self._receiver.recv(4096)

    def wake(self) -> None:
        """Wake up the waiting thread. For any thread, at any time."""
        with contextlib.suppress(OSError):  # It is awake, or has ended.
            self._sender.send(b"\0")

    @contextlib.contextmanager
    def receiving_signals(self) -> Iterator[None]:
        """Receive the interpreter's bytes in the block; in the main thread."""
        before = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)

    def close(self) -> None:
        """Close the sockets."""
        self._receiver.close()
        self._sender.close()


@contextlib.contextmanager
def call_on_stop_signals(stop: Callable[[], None]) -> Iterator[SignalWait]:
    """Call ``stop`` for each SIGINT, SIGTERM and SIGBREAK; without effect in other threads.

    Yields:
        a `SignalWait`, in any thread.
    """
    with contextlib.closing(SignalWait()) as wait:
        if threading.current_thread() is not threading.main_thread():
            yield wait
            return
        signalled_at: float | None = None

        def on_signal(_: int, frame: FrameType | None) -> None:
            nonlocal signalled_at
            signalled_at = time.monotonic()
            stop()

        with wait.receiving_signals():
            before: dict[signal.Signals, signal._HANDLER] = {}
            for signum in _SIGNALS:
                handler = signal.signal(signum, on_signal)
                # None: a handler in C, which Python cannot restore.
                before[signum] = signal.SIG_DFL if handler is None else handler
            try:
                yield wait
            finally:
                after = before
                if signalled_at is not None:
                    after = dict.fromkeys(_SIGNALS, _ignore_repeats(signalled_at, before))
                for signum, restored in after.items():
                    signal.signal(signum, restored)


def _ignore_repeats(
    signalled_at: float, before: dict[signal.Signals, signal._HANDLER]
) -> Callable[[int, FrameType | None], None]:
    """Return a handler that ignores repeated signals, and later restores the handlers before.

    Otherwise a second Ctrl-C would interrupt the orderly end with a traceback.
    """

    def on_signal(signum: int, _: FrameType | None) -> None:
        if time.monotonic() - signalled_at > _REPEAT_SECONDS:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.raise_signal(signum)

    return on_signal
