"""Ctrl-C and SIGTERM, so that whatever they interrupt is cleaned up, and no further."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

INTERRUPTED = 130
_SAME_PRESS_SECONDS = 2.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def on_signal(act: Callable[[], object]) -> None:
    """Let either signal call ``act``."""
    for signum in _SIGNALS:
        signal.signal(signum, lambda signum, frame: act())


def interrupt_on_signal() -> None:
    """Let either signal raise KeyboardInterrupt; a hand that slips on the keys presses once."""
    raised_at = float("-inf")

    def act() -> None:
        nonlocal raised_at
        if time.monotonic() - raised_at > _SAME_PRESS_SECONDS:
            raised_at = time.monotonic()
            raise KeyboardInterrupt

    on_signal(act)


def ignore_signals() -> None:
    """Let neither disturb what is left to do."""
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
