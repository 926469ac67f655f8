"""Handlers of SIGINT and SIGTERM, which allow a clean-up."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

INTERRUPTED = 130
_SAME_PRESS_SECONDS = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def on_signal(act: Callable[[], object]) -> None:
    """Call ``act`` at each signal."""
    for signum in _SIGNALS:
        signal.signal(signum, lambda signum, frame: act())


def interrupt_on_signal() -> None:
    """Raise KeyboardInterrupt at a signal; repetitions within two seconds are ignored."""
    raised_at = float("-inf")

    def act() -> None:
        nonlocal raised_at
        if time.monotonic() - raised_at > _SAME_PRESS_SECONDS:
            raised_at = time.monotonic()
            raise KeyboardInterrupt

    on_signal(act)


def ignore_signals() -> None:
    """Ignore both signals."""
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
