"""The errors that the server itself records in an execution."""

from __future__ import annotations

from zmqruntime.messages import ErrorKind, ExecutionErrorInfo
from zmqruntime.transport.lowlevel import describe_exit

__all__ = [
    "interrupted_by_crash",
    "interrupted_by_shutdown",
    "never_begun",
    "no_worker",
    "no_worker_before_exit",
    "shortened",
    "shut_down_while_queued",
    "stopped_without_request",
    "timed_out",
    "worker_died",
    "worker_not_ready",
]

# Of the reason why workers do not start, in the record of each execution that fails for it.
_MAX_REASON_CHARACTERS = 500


def shut_down_while_queued() -> ExecutionErrorInfo:
    """Return the error of an execution that was cancelled because the server was shut down."""
    return _interrupted("the server was shut down before it ran")


def no_worker_before_exit() -> ExecutionErrorInfo:
    """Return the error of a queued execution whose server never had a ready worker."""
    return _interrupted("the server ended before it ran: its worker did not get ready")


def interrupted_by_shutdown() -> ExecutionErrorInfo:
    """Return the error of an execution that was interrupted because the server was shut down."""
    return _interrupted("the server was shut down while it ran")


def interrupted_by_crash() -> ExecutionErrorInfo:
    """Return the error of an execution whose server ended while it ran."""
    return _interrupted("the server ended while it ran, and was started again")


def stopped_without_request() -> ExecutionErrorInfo:
    """Return the error of an execution that the worker stopped, but the server did not."""
    return _interrupted("the worker stopped the task without a request from the server")


def timed_out(limit: float) -> ExecutionErrorInfo:
    """Return the error of an execution that exceeded its time limit, in seconds."""
    return ExecutionErrorInfo(
        kind=ErrorKind.TIMEOUT, message=f"the task ran longer than {limit:g} s"
    )


def worker_died(exit_code: int | None) -> ExecutionErrorInfo:
    """Return the error of an execution whose worker process ended while it ran."""
    how = _describe_exit(exit_code)
    return _worker_died(exit_code, f"the worker process ended with {how} while it ran the task")


def never_begun(count: int, exit_code: int | None) -> ExecutionErrorInfo:
    """Return the error of an execution that no worker began before it ended."""
    return _worker_died(
        exit_code,
        f"{count} worker processes in a row ended before they began the task, the last with "
        f"{_describe_exit(exit_code)}: decoding its request may end them, or something outside "
        "kills them",
    )


def no_worker(count: int, reason: str) -> ExecutionErrorInfo:
    """Return the error of an execution that was queued while no worker could be started."""
    return ExecutionErrorInfo(
        kind=ErrorKind.WORKER_DIED,
        message=f"the task was not begun: {count} starts of a worker in a row have failed, the "
        f"last with: {shortened(reason, _MAX_REASON_CHARACTERS)}",
    )


def worker_not_ready(exit_code: int | None, message: str) -> str:
    """Return why the first worker of a server, or a later one, did not get ready."""
    how = (
        "it could not be started"
        if exit_code is None
        else f"it ended with {describe_exit(exit_code)}"
    )
    return f"the worker did not get ready: {how}" + (f"\n{message}" if message else "")


def shortened(text: str, limit: int) -> str:
    """Return a text, or its beginning and its end: the ends of a traceback are most useful."""
    if len(text) <= limit:
        return text
    begin = limit // 4
    return f"{text[:begin]} ... {text[begin + 5 - limit :]}"


def _interrupted(message: str) -> ExecutionErrorInfo:
    return ExecutionErrorInfo(kind=ErrorKind.INTERRUPTED, message=message)


def _worker_died(exit_code: int | None, message: str) -> ExecutionErrorInfo:
    how = _describe_exit(exit_code)
    by_signal = how.startswith("signal ")
    return ExecutionErrorInfo(
        kind=ErrorKind.WORKER_DIED,
        message=message,
        exit_code=None if by_signal else exit_code,
        signal=how.removeprefix("signal ") if by_signal else None,
    )


def _describe_exit(exit_code: int | None) -> str:
    return "no exit code" if exit_code is None else describe_exit(exit_code)
