"""The end of a process that a task has forked and that came back from the task's code."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

__all__ = ["end_forked_child"]


def end_forked_child(error: BaseException | None) -> NoReturn:
    """End this process as Python ends a program that raises ``error``, or comes to its end.

    Nothing of the worker's runs in it: its links, its log file and its other children are those
    of the parent.
    """
    code = _report(error)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # Closed, or not there.
    os._exit(code)


def _report(error: BaseException | None) -> int:
    """Print what Python prints for ``error``; return the exit code that it gives."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1
