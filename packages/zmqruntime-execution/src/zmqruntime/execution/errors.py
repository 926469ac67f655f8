"""What can go wrong with an execution, and whose fault it was.

ZMQRuntimeError
    ExecutionError
        RequestRejected         the server refused a request; ``code`` says why
            UnknownExecution    it keeps no such execution
            Conflict            the id stands for something else, or the execution has ended
            QueueFull           it takes no more for now
            ShuttingDown        it takes no more at all
            JournalUnavailable  it cannot write down what it would accept
        ExecutionFailed         the task raised, timed out, or its worker died
        ExecutionCancelled      somebody cancelled it
        ResultDropped           it completed, and its result was dropped before it was read
        WaitTimeout             it has not ended yet (also a TimeoutError)
        WorkerFailed            the server's worker cannot start
        UnpicklableServer       the server object cannot be sent to it (also a TypeError)
        JournalError            the server's journal, for who runs the server
            JournalInUse        another server has it
            JournalUnusable     it is damaged, or something else, or cannot be opened
            CommitFailed        it cannot be written, for now
        IllegalTransition       a defect: an execution was moved where it cannot go

TaskCancelled is raised inside a task that is to stop. It derives from KeyboardInterrupt, as
if somebody had pressed Ctrl-C: ``except Exception`` does not swallow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqruntime.messages import ErrorCode, ExecutionStatus, ZMQRuntimeError, printable

if TYPE_CHECKING:
    from zmqruntime.messages import ErrorReply, ExecutionErrorInfo, ExecutionRecord

__all__ = [
    "CommitFailed",
    "Conflict",
    "ExecutionCancelled",
    "ExecutionError",
    "ExecutionFailed",
    "IllegalTransition",
    "JournalError",
    "JournalInUse",
    "JournalUnavailable",
    "JournalUnusable",
    "QueueFull",
    "RequestRejected",
    "ResultDropped",
    "ShuttingDown",
    "TaskCancelled",
    "UnknownExecution",
    "UnpicklableServer",
    "WaitTimeout",
    "WorkerFailed",
    "raise_unless_complete",
    "rejection",
]


class ExecutionError(ZMQRuntimeError):
    """Something about an execution, or about the server's readiness to take one."""


class RequestRejected(ExecutionError):
    """The server refused a request. ``details`` names each field that was at fault."""

    def __init__(self, reply: ErrorReply) -> None:
        # The whole of it, so that it survives pickling: a process pool hands errors on that way.
        super().__init__(reply)
        self.code = reply.code
        self.details = reply.details
        self._message = reply.message

    def __str__(self) -> str:
        return printable(self._message, newline="\n")


class UnknownExecution(RequestRejected):
    """The server keeps no execution of this id: it never did, or dropped it from history."""


class Conflict(RequestRejected):
    """The id already stands for another task, or the execution has ended and cannot change."""


class QueueFull(RequestRejected):
    """The server's queue is at its limit; try again when something has ended."""


class ShuttingDown(RequestRejected):
    """The server takes no more work."""


class JournalUnavailable(RequestRejected):
    """The server's disk is full or fails, or a file of its journal is gone; try again later."""


class ExecutionFailed(ExecutionError):
    """The execution failed; ``record`` has the error, and the traceback if the task raised."""

    def __init__(self, record: ExecutionRecord) -> None:
        super().__init__(record)
        self.record = record

    def __str__(self) -> str:
        error = self.record.error
        reason = "no reason is known" if error is None else _describe(error)
        return printable(f"execution {self.record.execution_id} failed ({reason})", newline="\n")


class ExecutionCancelled(ExecutionError):
    """The execution was cancelled; ``record`` says when."""

    def __init__(self, record: ExecutionRecord) -> None:
        super().__init__(record)
        self.record = record

    def __str__(self) -> str:
        reason = f": {self.record.error.message}" if self.record.error else ""
        return printable(
            f"execution {self.record.execution_id} was cancelled{reason}", newline="\n"
        )


class ResultDropped(ExecutionError):
    """The execution completed, and the server has dropped its result unread; see ``record``.

    The server keeps unread results up to its ``unread_limit``, ``unread_bytes`` and
    ``history_seconds``.
    """

    def __init__(self, record: ExecutionRecord) -> None:
        super().__init__(record)
        self.record = record

    def __str__(self) -> str:
        return (
            f"the result of execution {self.record.execution_id} was dropped: it completed, and "
            "was not read before the server's limit of unread results was reached (unread_limit, "
            "unread_bytes, history_seconds). Read results sooner, raise the limit, or submit it "
            "again under a new id"
        )


class WaitTimeout(ExecutionError, TimeoutError):
    """The execution had not ended in time; it goes on."""


class WorkerFailed(ExecutionError):
    """The worker process cannot start; the message has its own last words."""


class UnpicklableServer(ExecutionError, TypeError):
    """The server object cannot be sent to its worker; the message says what is in the way."""


class JournalError(ExecutionError):
    """Something about a server's journal; the message names its file."""


class JournalInUse(JournalError):
    """Another server has the journal open; the message names its process."""


class JournalUnusable(JournalError):
    """The files are damaged, read-only, no journal, or cannot be opened. They were left as is."""


class CommitFailed(JournalError):
    """The journal cannot be written: the disk is full or fails, or a file of it is gone."""


class IllegalTransition(ExecutionError):
    """An execution was to move where the lifecycle has no way to. A defect of the server."""


class TaskCancelled(KeyboardInterrupt):
    """Raised in a task that is to stop. Clean up and let it pass."""


_REJECTIONS: dict[ErrorCode, type[RequestRejected]] = {
    ErrorCode.UNKNOWN_EXECUTION: UnknownExecution,
    ErrorCode.CONFLICT: Conflict,
    ErrorCode.QUEUE_FULL: QueueFull,
    ErrorCode.SHUTTING_DOWN: ShuttingDown,
    ErrorCode.JOURNAL_UNAVAILABLE: JournalUnavailable,
}


def rejection(reply: ErrorReply) -> RequestRejected:
    """Return the exception that stands for an error reply."""
    return _REJECTIONS.get(reply.code, RequestRejected)(reply)


def _describe(error: ExecutionErrorInfo) -> str:
    """Return what went wrong as the last line of a traceback has it, or by the kind of error."""
    if error.type is None:
        return f"{error.kind}: {error.message}"
    return (
        error.message if error.message.startswith(error.type) else f"{error.type}: {error.message}"
    )


def raise_unless_complete(record: ExecutionRecord) -> None:
    """Raise what stands for a record without a result.

    Raises:
        ExecutionFailed: it failed.
        ExecutionCancelled: it was cancelled.
        ResultDropped: it completed, and its result was dropped.
    """
    if record.status is ExecutionStatus.FAILED:
        raise ExecutionFailed(record)
    if record.status is ExecutionStatus.CANCELLED:
        raise ExecutionCancelled(record)
    if record.result_dropped:
        raise ResultDropped(record)
