"""Ctrl-C and SIGTERM as a request to end, however often they are sent."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from zmq.utils.win32 import allow_interrupt

__all__ = ["ending_on_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# So long after a signal that ended a server, a further one is taken to mean that server, too.
_SAME_WISH_SECONDS = 2.0


@contextlib.contextmanager
def ending_on_signals(end: Callable[[], None]) -> Iterator[None]:
    """Call ``end`` for each signal that asks this process to end; main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked_at: float | None = None

    def on_signal(_: int, frame: FrameType | None) -> None:
        nonlocal asked_at
        asked_at = time.monotonic()
        end()

    before = {signum: signal.signal(signum, on_signal) for signum in _SIGNALS}
    try:
        # Python's handlers do not run on Windows while the main thread waits.
        with allow_interrupt(end):
            yield
    finally:
        after = before if asked_at is None else dict.fromkeys(_SIGNALS, _outlast(asked_at, before))
        for signum, handler in after.items():
            signal.signal(signum, handler)


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
