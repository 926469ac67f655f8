"""Repairs inherited process state that Python depends on: standard descriptors, signals.

For the first lines of a server and a worker process: imports next to nothing.
"""

from __future__ import annotations

import os
import signal

__all__ = ["fill_standard_descriptors", "reset_signals"]


def fill_standard_descriptors() -> None:
    """Open the null device for each of the descriptors 0, 1 and 2 that is closed.

    Otherwise the next socket or file gets that number, and the standard error of a C library goes
    into it (POSIX: the lowest free number).
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            if os.open(os.devnull, os.O_RDWR) == number:
                os.set_inheritable(number, True)


def reset_signals() -> None:
    """Unblock all signals, and reset an ignored SIGCHLD. For the main thread.

    A process inherits an ignored SIGCHLD; the system then discards the exit codes of its children,
    and each seems to have ended with 0 (waitpid(2)).
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
