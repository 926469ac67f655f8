"""Exits a child process that application code has forked, when it returns from that code."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from contextlib import AbstractContextManager
from typing import NoReturn

__all__ = ["ExitForkedChildren", "exit_forked_child"]


class ExitForkedChildren(AbstractContextManager[None]):
    """A block of application code: a process that is forked in it exits at its end."""

    def __enter__(self) -> None:
        self._process = os.getpid()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if os.getpid() != self._process:
            exit_forked_child(error)


def exit_forked_child(error: BaseException | None) -> NoReturn:
    """Exit this process as Python exits a program that raises ``error``, or returns.

    The worker's own cleanup does not run: links, log file and other children are the parent's.
    """
    code = 1
    try:  # What the application has replaced or deleted may raise; the child exits nevertheless.
        code = _print_error(error)
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # Closed or missing.
                stream.flush()
    finally:
        os._exit(code)


def _print_error(error: BaseException | None) -> int:
    """Print ``error`` as Python does; return the exit code."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    print(error.code, file=sys.stderr)
    return 1
