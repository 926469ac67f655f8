"""Why an execution did not complete, as its record and its last event tell it."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from zmqruntime.messages.base import Model, UnknownMeans

__all__ = ["MAX_RESULT_REPR", "ErrorKind", "ExecutionErrorInfo"]

MAX_RESULT_REPR: Final = 65_536
"""The most characters of a result that could not be carried."""


class ErrorKind(StrEnum):
    """What ended an execution that did not complete."""

    EXCEPTION = "exception"
    """The task raised."""
    TIMEOUT = "timeout"
    """The task ran longer than its ``timeout_seconds``."""
    WORKER_DIED = "worker_died"
    """The process that ran it ended: a crash, an ``_exit``, a kill."""
    INTERRUPTED = "interrupted"
    """The server was shut down or restarted under it."""
    UNSERIALIZABLE_RESULT = "unserializable_result"
    """The task returned something that JSON cannot carry."""
    RESULT_TOO_LARGE = "result_too_large"
    """The task returned more than one message can carry."""


class ExecutionErrorInfo(Model):
    """What went wrong with one execution, in words for a person and fields for a program."""

    kind: Annotated[ErrorKind, UnknownMeans(ErrorKind.EXCEPTION)]
    message: str
    """One sentence."""
    type: str | None = None
    """The exception's class, such as ``ValueError``, when the task raised."""
    traceback: str | None = None
    exit_code: int | None = None
    """The worker's exit code, when it ended by itself."""
    signal: str | None = None
    """The signal that ended the worker, such as ``SIGSEGV`` (POSIX)."""
    result_repr: Annotated[str, Field(max_length=MAX_RESULT_REPR)] | None = None
    """What the task returned, when it cannot be carried: its ``repr()``, or its JSON when that is
    too long for a message; of a long one the beginning and the end."""
