"""The end of a process that the application has forked and that came back from its code."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from contextlib import AbstractContextManager
from typing import NoReturn

__all__ = ["EndForkedChildren", "end_forked_child"]


class EndForkedChildren(AbstractContextManager[None]):
    """A block of the application's code: a process that is forked in it ends where it leaves it."""

    def __enter__(self) -> None:
        self._process = os.getpid()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if os.getpid() != self._process:
            end_forked_child(error)


def end_forked_child(error: BaseException | None) -> NoReturn:
    """End this process as Python ends a program that raises ``error``, or comes to its end.

    Nothing of the worker's runs in it: its links, its log file and its other children are those
    of the parent.
    """
    code = 1
    try:  # What the application has replaced or deleted may raise; a child ends nevertheless.
        code = _report(error)
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # Closed, or not there.
                stream.flush()
    finally:
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
