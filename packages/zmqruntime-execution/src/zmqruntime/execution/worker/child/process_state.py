"""Snapshot of process-wide state that one task may change and the next one relies on.

Taken once, after `setup_worker`, and restored before each task. State is compared first, so that a
restore without changes takes a few microseconds.
"""

from __future__ import annotations

# The C functions behind `signal`, which converts each number to an enum member: slower than all the
# rest of a restore.
import _signal  # type: ignore[import-not-found] # typeshed has no stub for it
import contextlib
import gc
import locale
import os
import signal
import socket
import sys
import threading
import warnings
from io import TextIOWrapper
from typing import Any, Final

__all__ = ["ProcessState"]

# Signals that Python programs handle. SIGINT carries the interrupt.
_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD", "SIGPIPE", "SIGALRM", "SIGUSR1")
    if hasattr(signal, name)
)


_HAS_MASK: Final = hasattr(signal, "pthread_sigmask")


class ProcessState:
    """Snapshot of the process's state, taken by the constructor. For the main thread.

    Signal handlers and mask, interval timers, the wake-up descriptor, the objects of the standard
    streams, working directory, umask, environment, locale, warnings filters, exception hooks,
    trace and profile functions, recursion limit, default socket timeout, garbage collection.
    """

    def __init__(self) -> None:
        self._handlers = {number: _signal.getsignal(number) for number in _SIGNALS}
        self._mask = _signal.pthread_sigmask(signal.SIG_BLOCK, ()) if _HAS_MASK else None
        self._streams = _StandardStreams()
        self._directory = _get_directory()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._environment = dict(_environment())
        self._locale = locale.setlocale(locale.LC_ALL)
        self._filters = list(warnings.filters)
        self._hooks = sys.excepthook, threading.excepthook
        self._tracers = sys.gettrace(), sys.getprofile()
        self._recursion_limit = sys.getrecursionlimit()
        self._socket_timeout = socket.getdefaulttimeout()
        self._collects = gc.isenabled()

    def restore(self) -> None:
        """Restore the state of the snapshot."""
        self._restore_signals()
        self._restore_interpreter()
        self._streams.restore()
        os.umask(self._umask)
        if self._directory is not None and _get_directory() != self._directory:
            with contextlib.suppress(OSError):  # Removed meanwhile.
                os.chdir(self._directory)
        if _environment() != self._environment:
            self._restore_environment()
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)

    def set_variable(self, name: str, value: str) -> None:
        """Set an environment variable, in the snapshot as well."""
        os.environ[name] = value
        encode = os.fsencode if os.name == "posix" else str
        self._environment[encode(name)] = encode(value)

    def _restore_signals(self) -> None:
        for number, handler in self._handlers.items():
            if _signal.getsignal(number) is not handler and handler is not None:
                _signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self._mask is not None and _signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self._mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _restore_interpreter(self) -> None:
        if warnings.filters != self._filters:
            warnings.resetwarnings()  # Also clears the decisions that the filters have cached.
            warnings.filters[:] = self._filters  # type: ignore[index]
        # Without a comparison: a hook may be deleted, or its `__eq__` may raise.
        sys.excepthook, threading.excepthook = self._hooks
        trace, profile = self._tracers
        if sys.gettrace() is not trace or sys.getprofile() is not profile:
            sys.settrace(trace)
            sys.setprofile(profile)
        if sys.getrecursionlimit() != self._recursion_limit:
            sys.setrecursionlimit(self._recursion_limit)
        if socket.getdefaulttimeout() != self._socket_timeout:
            socket.setdefaulttimeout(self._socket_timeout)
        if gc.isenabled() != self._collects:
            (gc.enable if self._collects else gc.disable)()

    def _restore_environment(self) -> None:
        encode = os.fsencode if os.name == "posix" else str
        now = {encode(name): name for name in os.environ}
        for key, name in now.items():
            if key not in self._environment:
                del os.environ[name]
        for key, value in self._environment.items():
            os.environ[os.fsdecode(key)] = os.fsdecode(value)


class _StandardStreams:
    """The objects ``sys.stdin``, ``sys.stdout`` and ``sys.stderr``.

    Closing one does not close its descriptor, whose number, and so what is printed, would go to
    the next file or socket that a task opens.
    """

    def __init__(self) -> None:
        sys.stdout, sys.stderr = _rewrap(sys.stdout, 1), _rewrap(sys.stderr, 2)
        self._stdin, self._stdout, self._stderr = sys.stdin, sys.stdout, sys.stderr

    def restore(self) -> None:
        """Restore the objects; replace one that was closed or detached."""
        if _is_closed(self._stdout):
            self._stdout = _open_text(1)
        if _is_closed(self._stderr):
            self._stderr = _open_text(2)
        sys.stdin, sys.stdout, sys.stderr = self._stdin, self._stdout, self._stderr


def _is_closed(stream: Any) -> bool:
    try:
        return bool(getattr(stream, "closed", False))
    except Exception:  # noqa: BLE001 - a detached stream, or a task's object that may raise anything
        return True


def _rewrap(stream: Any, number: int) -> Any:
    """Return a new stream for the descriptor of ``stream``; another kind of stream unchanged."""
    if stream is None:  # In a program without a console.
        return _open_text(number)
    if not isinstance(stream, TextIOWrapper) or stream.fileno() != number:
        return stream
    stream.flush()
    return _open_text(number, stream.encoding, stream.errors)


def _open_text(number: int, encoding: str = "utf-8", errors: str | None = None) -> TextIOWrapper:
    # Line-buffered, so that a running task's latest line is in its log.
    return open(
        number, "w", 1, encoding=encoding, errors=errors or "backslashreplace", closefd=False
    )


def _get_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - before each task; a Path costs as much again
    except OSError:
        return None


def _environment() -> dict[Any, Any]:
    """Return the dict behind ``os.environ``, which compares a hundred times faster."""
    return getattr(os.environ, "_data", None) or dict(os.environ)
