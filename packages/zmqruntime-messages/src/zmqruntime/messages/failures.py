"""Failures of executions, in records and terminal events."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from zmqruntime.messages.base import Model, UnknownAs

__all__ = ["MAX_RESULT_REPR", "ErrorKind", "ExecutionErrorInfo"]

MAX_RESULT_REPR: Final = 65_536
"""The maximum length of ``result_repr`` in characters."""


class ErrorKind(StrEnum):
    """The cause of a failure."""

    EXCEPTION = "exception"
    """The task raised an exception."""
    TIMEOUT = "timeout"
    """The task ran longer than its ``timeout_seconds``."""
    WORKER_DIED = "worker_died"
    """The worker process ended: a crash, an ``_exit``, a kill."""
    INTERRUPTED = "interrupted"
    """The server was shut down or restarted during the run."""
    UNSERIALIZABLE_RESULT = "unserializable_result"
    """The task returned a value that is not JSON."""
    RESULT_TOO_LARGE = "result_too_large"
    """The task returned a value that exceeds the maximum message size."""


class ExecutionErrorInfo(Model):
    """The failure of an execution: a message for people, fields for programs."""

    kind: Annotated[ErrorKind, UnknownAs(ErrorKind.EXCEPTION)]
    message: str
    """One sentence."""
    type: str | None = None
    """The exception's class, such as ``ValueError``; null for other kinds."""
    traceback: str | None = None
    exit_code: int | None = None
    """The worker's exit code; null after a signal."""
    signal: str | None = None
    """The signal that ended the worker, such as ``SIGSEGV`` (POSIX)."""
    result_repr: Annotated[str, Field(max_length=MAX_RESULT_REPR)] | None = None
    """The rejected return value: its ``repr()``, or its JSON when it is too large; truncated in
    the middle."""
