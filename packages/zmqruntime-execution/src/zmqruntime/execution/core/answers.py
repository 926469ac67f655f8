"""What the scheduler says to those who ask: replies, and the words of each refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import (
    ErrorCode,
    ErrorKind,
    ErrorReply,
    ExecutionErrorInfo,
    ExecutionStatus,
    StatusRequest,
)
from zmqruntime.transport.lowlevel import describe_exit

if TYPE_CHECKING:
    from zmqruntime.messages import ExecutionStatusSnapshot

__all__ = [
    "conflicting",
    "died_during",
    "ended_already",
    "left_meanwhile",
    "never_begun",
    "never_ready",
    "never_started",
    "no_worker",
    "not_written",
    "place_of",
    "queue_full",
    "queue_too_large",
    "shorten",
    "shut_down_before",
    "shut_down_during",
    "shutting_down",
    "snapshot_of_all",
    "stopped_unasked",
    "timed_out",
    "too_many_held",
    "unknown",
    "worker_died",
]

# Of why a worker did not start, in the record of each execution that waited for it.
_MAX_REASON_CHARACTERS = 500


def snapshot_of_all(
    engine: LifecycleEngine, request: StatusRequest
) -> ExecutionStatusSnapshot | ErrorReply:
    """Tell what runs, and one page of the queue."""
    from zmqruntime.messages import ExecutionStatusSnapshot  # Not above: a start needs none.

    try:
        entries, cursor = engine.list_queued(request.limit, request.cursor)
    except ValueError as error:
        return ErrorReply(code=ErrorCode.INVALID_REQUEST, message=f"cursor: {error}")
    return ExecutionStatusSnapshot(
        running_executions=tuple(e.to_running_info() for e in engine.list_running()),
        queued_executions=tuple(e.to_queued_info(place) for place, e in entries),
        counts=dict(engine.counts),
        cursor=cursor,
    )


def conflicting(execution: Execution) -> ErrorReply:
    """Refuse a known id with new content."""
    return ErrorReply(
        code=ErrorCode.CONFLICT,
        message=f"execution id {execution.execution_id} already stands for another task: "
        "choose a new id for new work",
    )


def ended_already(execution: Execution) -> ErrorReply:
    """Refuse to cancel what has come to its own end."""
    return ErrorReply(
        code=ErrorCode.CONFLICT,
        message=f"execution {execution.execution_id} has ended already ({execution.status}): "
        "there is nothing to cancel",
    )


def unknown(execution_id: str) -> ErrorReply:
    """Refuse an id that is not kept."""
    return ErrorReply(
        code=ErrorCode.UNKNOWN_EXECUTION,
        message=f"no execution {execution_id} is kept here: it was never submitted to this "
        "server, or has ended and was dropped from its history: submit it again, and keep records "
        "longer by a higher history_limit, history_bytes or history_seconds, or by a journal",
    )


def shutting_down() -> ErrorReply:
    """Refuse new work at the end."""
    return ErrorReply(
        code=ErrorCode.SHUTTING_DOWN, message="the server is shutting down and takes no more"
    )


def queue_full(waiting: int, limit: int) -> ErrorReply:
    """Refuse new work for now."""
    return ErrorReply(
        code=ErrorCode.QUEUE_FULL,
        message=f"{waiting} executions wait and the server takes no more than {limit}: "
        "try again when some have ended",
    )


def queue_too_large(queued: int, size: int, limit: int) -> ErrorReply:
    """Refuse new work for now, for its size."""
    return ErrorReply(
        code=ErrorCode.QUEUE_FULL,
        message=f"the queued requests have {queued:,} bytes, this one has {size:,}, and the server "
        f"keeps no more than {limit:,} (max_queued_bytes): try again when some have ended",
    )


def too_many_held() -> ErrorReply:
    """Refuse to hold one more reply."""
    return ErrorReply(
        code=ErrorCode.BUSY,
        message="the server holds as many replies for this connection as it may, and has done "
        "nothing: wait for fewer executions at a time, or send the request without wait_seconds",
    )


def left_meanwhile(execution_id: str) -> ErrorReply:
    """Refuse a record that left history while its reply waited for its peer to read."""
    return ErrorReply(
        code=ErrorCode.BUSY,
        message=f"execution {execution_id} left history while the reply waited for earlier ones "
        "to be read: send the request again, and read replies sooner",
    )


def not_written() -> ErrorReply:
    """Refuse new work that could not be kept."""
    return ErrorReply(
        code=ErrorCode.JOURNAL_UNAVAILABLE,
        message="nothing was accepted, since the server's journal cannot be written, and its log "
        "has the reason: free some space or mend the disk, and try again",
    )


def shut_down_before() -> ExecutionErrorInfo:
    """Tell why a queued execution was cancelled unasked."""
    return ExecutionErrorInfo(
        kind=ErrorKind.INTERRUPTED, message="the server was shut down before it ran"
    )


def never_started() -> ExecutionErrorInfo:
    """Tell why a queued execution was cancelled by a server without a worker."""
    return ExecutionErrorInfo(
        kind=ErrorKind.INTERRUPTED,
        message="the server ended before it ran: its worker did not get ready",
    )


def shut_down_during() -> ExecutionErrorInfo:
    """Tell why a running execution was stopped unasked."""
    return ExecutionErrorInfo(
        kind=ErrorKind.INTERRUPTED, message="the server was shut down while it ran"
    )


def died_during() -> ExecutionErrorInfo:
    """Tell what became of an execution whose server died under it."""
    return ExecutionErrorInfo(
        kind=ErrorKind.INTERRUPTED, message="the server ended while it ran, and was started again"
    )


def stopped_unasked() -> ExecutionErrorInfo:
    """Tell of a worker that stopped a task for no reason of the server's."""
    return ExecutionErrorInfo(
        kind=ErrorKind.INTERRUPTED, message="the worker stopped the task, though nobody asked it to"
    )


def timed_out(limit: float) -> ExecutionErrorInfo:
    """Tell that a task ran too long."""
    return ExecutionErrorInfo(
        kind=ErrorKind.TIMEOUT, message=f"the task ran longer than {limit:g} s"
    )


def worker_died(exit_code: int | None) -> ExecutionErrorInfo:
    """Tell that a task took its process with it, or lost it."""
    how = _describe_end(exit_code)
    return _worker_died(exit_code, f"the worker process ended with {how} while it ran the task")


def never_begun(count: int, exit_code: int | None) -> ExecutionErrorInfo:
    """Tell that a task ends each worker that it is assigned to, or seems to."""
    return _worker_died(
        exit_code,
        f"{count} worker processes in a row ended before they began the task, the last with "
        f"{_describe_end(exit_code)}: decoding its request may end them, or something outside "
        "kills them",
    )


def no_worker(count: int, reason: str) -> ExecutionErrorInfo:
    """Tell that a task was not begun, since no worker can be started."""
    return ExecutionErrorInfo(
        kind=ErrorKind.WORKER_DIED,
        message=f"the task was not begun: {count} starts of a worker in a row have failed, the "
        f"last like this: {shorten(reason, _MAX_REASON_CHARACTERS)}",
    )


def _worker_died(exit_code: int | None, message: str) -> ExecutionErrorInfo:
    how = _describe_end(exit_code)
    by_signal = how.startswith("signal ")
    return ExecutionErrorInfo(
        kind=ErrorKind.WORKER_DIED,
        message=message,
        exit_code=None if by_signal else exit_code,
        signal=how.removeprefix("signal ") if by_signal else None,
    )


def _describe_end(exit_code: int | None) -> str:
    return "no exit code" if exit_code is None else describe_exit(exit_code)


def shorten(text: str, limit: int) -> str:
    """Return a text, or its beginning and its end: a traceback tells most there."""
    if len(text) <= limit:
        return text
    begin = limit // 4
    return f"{text[:begin]} ... {text[begin + 5 - limit :]}"


def never_ready(exit_code: int | None, message: str) -> str:
    """Tell why the server ends: its first worker did not come up."""
    how = (
        "it could not be started"
        if exit_code is None
        else f"it ended with {describe_exit(exit_code)}"
    )
    return f"the worker did not get ready: {how}" + (f"\n{message}" if message else "")


def place_of(engine: LifecycleEngine, execution: Execution) -> int | None:
    """Return how many are before it, and itself; None when it does not wait."""
    if execution.status is not ExecutionStatus.QUEUED:
        return None
    return engine.position(execution.execution_id)
