"""State that a process inherits from the program that started it, made as Python expects it.

For the first lines of a server's and a worker's process: imports next to nothing.
"""

from __future__ import annotations

import os
import signal

__all__ = ["fill_standard_descriptors", "reset_signals"]


def fill_standard_descriptors() -> None:
    """Open the null device for each of the descriptors 0, 1 and 2 that is closed.

    Else the next socket or file of this process gets that number, and whatever a library in C
    writes to its standard error goes into it (POSIX leaves this to the program: fopen(3),
    "lowest numbered").
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: this one, as those below it are open.
            if os.open(os.devnull, os.O_RDWR) == number:
                os.set_inheritable(number, True)


def reset_signals() -> None:
    """Unblock all signals, and let the exit codes of child processes be read.

    A program that ignores SIGCHLD hands that on to what it starts; the system then forgets how
    children end, and every program seems to have ended well (waitpid(2)). For the main thread.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
