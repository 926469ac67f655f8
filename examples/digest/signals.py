"""Ctrl-C and SIGTERM, so that whatever they interrupt is cleaned up, and no further."""

from __future__ import annotations

import signal
from collections.abc import Callable

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def on_signal(act: Callable[[], object]) -> None:
    """Let either signal call ``act``."""
    for signum in _SIGNALS:
        signal.signal(signum, lambda signum, frame: act())


def interrupt_once() -> None:
    """Let the first signal raise KeyboardInterrupt, and no further one: then we clean up."""

    def act() -> None:
        ignore()
        raise KeyboardInterrupt

    on_signal(act)


def ignore() -> None:
    """Let neither disturb what is left to do."""
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
