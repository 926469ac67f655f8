"""Errors of executions.

ZMQRuntimeError
    ExecutionError
        RequestRejected         the server refused a request; ``code`` is the reason
            UnknownExecution    it keeps no execution of this id
            Conflict            the id belongs to another task, or the execution has ended
            QueueFull           its queue is full for now
            ShuttingDown        it accepts no further executions
            JournalUnavailable  it cannot write to its journal for now
        ExecutionFailed         the task raised or timed out, or its worker died
        ExecutionCancelled      it was cancelled
        ResultDropped           it completed, but its result was dropped before it was read
        WaitTimeout             it has not ended yet (also a TimeoutError)
        WorkerFailed            the server's worker process cannot start
        UnpicklableServer       the server object cannot be pickled (also a TypeError)
        JournalError            the server's journal; raised in the server's process
            JournalInUse        another server has it open
            JournalUnusable     it is damaged, not a journal, or cannot be opened
            CommitFailed        it cannot be written for now
        IllegalTransition       a defect: a state change outside the lifecycle

TaskCancelled is raised inside a task that is interrupted. It derives from KeyboardInterrupt, so
that ``except Exception`` does not catch it.
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
    """Base class of the errors of executions and of execution servers."""


class RequestRejected(ExecutionError):
    """The server refused a request and changed nothing.

    ``code`` is the reason; ``details`` names each invalid field, if that is the reason.
    """

    def __init__(self, reply: ErrorReply) -> None:
        # The complete reply: exceptions are pickled by their `args`, as in a process pool.
        super().__init__(reply)
        self.code = reply.code
        self.details = reply.details
        self._message = reply.message

    def __str__(self) -> str:
        return printable(self._message, newline="\n")


class UnknownExecution(RequestRejected):
    """The server keeps no execution of this id.

    It was never submitted to this server, was evicted from its history, or was lost with a restart
    without a journal. Submit it again if its result is needed.
    """


class Conflict(RequestRejected):
    """The id belongs to another task, or the execution to cancel has ended.

    The existing execution is unchanged. Submit under another id, or read the record.
    """


class QueueFull(RequestRejected):
    """The server's queue is full: ``max_queued`` or ``max_queued_bytes`` is reached.

    Nothing was submitted. Submit again when an execution has ended.
    """


class ShuttingDown(RequestRejected):
    """The server is shutting down and accepts no further executions.

    Accepted ones end as the shutdown's mode demands. Submit again to the next server.
    """


class JournalUnavailable(RequestRejected):
    """The server cannot write to its journal for now, and accepts nothing meanwhile.

    Its disk is full or fails, or a journal file is missing; its log names the cause. Submit again
    later: the server retries until it can write.
    """


class ExecutionFailed(ExecutionError):
    """The execution failed: its task raised or timed out, or its worker process died.

    ``record.error`` has the kind, the message, and the traceback if the task raised. Submit it
    again under a new id to retry.
    """

    def __init__(self, record: ExecutionRecord) -> None:
        super().__init__(record)
        self.record = record

    def __str__(self) -> str:
        error = self.record.error
        reason = "reason unknown" if error is None else _describe(error)
        return printable(f"execution {self.record.execution_id} failed ({reason})", newline="\n")


class ExecutionCancelled(ExecutionError):
    """The execution was cancelled, by a client or by the server's shutdown.

    ``record`` has the time, and in ``error`` the reason if no client cancelled it.
    """

    def __init__(self, record: ExecutionRecord) -> None:
        super().__init__(record)
        self.record = record

    def __str__(self) -> str:
        reason = f": {self.record.error.message}" if self.record.error else ""
        return printable(
            f"execution {self.record.execution_id} was cancelled{reason}", newline="\n"
        )


class ResultDropped(ExecutionError):
    """The execution completed, but the server has dropped its result before it was read.

    The server keeps unread results up to its ``unread_limit``, ``unread_bytes`` and
    ``history_seconds``. Read results sooner, raise the limit, or submit again under a new id.
    """

    def __init__(self, record: ExecutionRecord) -> None:
        super().__init__(record)
        self.record = record

    def __str__(self) -> str:
        return (
            f"the result of execution {self.record.execution_id} was dropped: it was not read "
            "before the server's limit of unread results was reached (unread_limit, "
            "unread_bytes, history_seconds). Read results sooner, raise the limit, or submit it "
            "again under a new id"
        )


class WaitTimeout(ExecutionError, TimeoutError):
    """The execution has not ended in time; it continues. Wait again, or cancel it."""


class WorkerFailed(ExecutionError):
    """The server's worker process cannot start, so the server has stopped.

    The message has the end of the worker's output: usually `setup_worker` raised.
    """


class UnpicklableServer(ExecutionError, TypeError):
    """The server object cannot be pickled for its worker; the message has pickle's reason.

    Open files, sockets and locks in `setup_worker`, not in ``__init__``.
    """


class JournalError(ExecutionError):
    """Base class of the errors of a server's journal; the message names its file."""


class JournalInUse(JournalError):
    """Another server has the journal open; the message names its process.

    This server has not started. Stop the other one, or use another journal.
    """


class JournalUnusable(JournalError):
    """The journal's files are damaged, read-only, of another kind, or cannot be opened.

    They are unchanged, and the server has not started. Restore or move them, as the message
    describes.
    """


class CommitFailed(JournalError):
    """A journal transaction failed: the disk is full or fails, or a journal file is missing.

    The server answers `JournalUnavailable` and retries until the journal can be written.
    """


class IllegalTransition(ExecutionError):
    """A state change outside the lifecycle was requested: a defect of the server."""


class TaskCancelled(KeyboardInterrupt):
    """Raised in a task that is interrupted, because of a cancel, a timeout or a shutdown.

    Clean up within ``cancel_grace_seconds`` and let it propagate; after that, the worker is killed.
    """


_REJECTIONS: dict[ErrorCode, type[RequestRejected]] = {
    ErrorCode.UNKNOWN_EXECUTION: UnknownExecution,
    ErrorCode.CONFLICT: Conflict,
    ErrorCode.QUEUE_FULL: QueueFull,
    ErrorCode.SHUTTING_DOWN: ShuttingDown,
    ErrorCode.JOURNAL_UNAVAILABLE: JournalUnavailable,
}


def rejection(reply: ErrorReply) -> RequestRejected:
    """Return the exception for an error reply, by its code."""
    return _REJECTIONS.get(reply.code, RequestRejected)(reply)


def _describe(error: ExecutionErrorInfo) -> str:
    """Return the error as the last line of a traceback, or its kind and message."""
    if error.type is None:
        return f"{error.kind}: {error.message}"
    return (
        error.message if error.message.startswith(error.type) else f"{error.type}: {error.message}"
    )


def raise_unless_complete(record: ExecutionRecord) -> None:
    """Raise the error of a record that has no result.

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
