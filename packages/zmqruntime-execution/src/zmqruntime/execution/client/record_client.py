"""`RecordClient`: requests about executions by id: status, wait, cancel, log, events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from zmqruntime.execution.client.replay import EventReplay
from zmqruntime.execution.client.submitter import expect
from zmqruntime.execution.client.wait import ExecutionWaiter, WaitPolicy
from zmqruntime.messages import (
    CancelRequest,
    DecodeError,
    ExecutionId,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    LogReply,
    LogTailRequest,
    OkReply,
    ProgressEvent,
    Reply,
    StateEvent,
    StatusRequest,
)
from zmqruntime.messages.lowlevel import Outgoing, decode_errors
from zmqruntime.transport import RequestTimeout, ServerLost, ZMQClient
from zmqruntime.transport.lowlevel import Deadline

__all__ = ["RecordClient"]

_R = TypeVar("_R", bound=Reply)


class RecordClient(ZMQClient):
    """Reads, waits for and cancels executions by id, those of other clients included.

    The arguments are those of `ZMQClient`.
    """

    def poll_status(
        self,
        execution_id: ExecutionId | None = None,
        *,
        wait_seconds: float = 0.0,
        limit: int = 100,
        cursor: str | None = None,
        timeout: float | None = None,
    ) -> ExecutionStatusSnapshot:
        """Return a snapshot of one execution, or of the server with a page of its queue.

        Args:
            execution_id: the execution; None for the whole server.
            wait_seconds: how long the server holds its reply until the execution has ended.
            limit: the page size: how many queued executions to list.
            cursor: the cursor of the previous page.
            timeout: seconds in addition to ``wait_seconds``; None for the configuration's.

        Raises:
            DecodeError: an argument is invalid; the error names it.
            UnknownExecution: the server keeps no execution of this id.
            TransportError: the server was not reached, or did not reply.
        """
        with decode_errors("status request"):
            request = StatusRequest(
                execution_id=execution_id, wait_seconds=wait_seconds, limit=limit, cursor=cursor
            )
        return self._ask(request, ExecutionStatusSnapshot, timeout, hold=wait_seconds)

    def get_record(
        self, execution_id: ExecutionId, wait_seconds: float = 0.0, timeout: float | None = None
    ) -> ExecutionRecord:
        """Return the record of one execution; the arguments are those of `poll_status`."""
        _check_named(execution_id)
        snapshot = self.poll_status(execution_id, wait_seconds=wait_seconds, timeout=timeout)
        assert snapshot.execution is not None
        return snapshot.execution

    def get_records(self, execution_ids: Sequence[ExecutionId]) -> list[ExecutionRecord]:
        """Return the records of many executions, without a round trip for each.

        Raises what `get_record` raises.
        """
        found: dict[str, ExecutionRecord] = {}
        for name in execution_ids:  # All of them, before the first request.
            _check_named(name)
        with decode_errors("status request"):
            asked = [StatusRequest(execution_id=name) for name in execution_ids]
        for _, reply in self.pipeline(asked):
            record = expect(ExecutionStatusSnapshot, reply).execution
            assert record is not None
            found[record.execution_id] = record
        return [found[name] for name in execution_ids]

    def wait_for_completion(
        self,
        execution_id: ExecutionId,
        policy: WaitPolicy | None = None,
        timeout: float | None = None,
    ) -> ExecutionRecord:
        """Return the final record of an execution when it has ended, in whatever state.

        Raises:
            WaitTimeout: it has not ended after ``timeout`` seconds; it continues.
            UnknownExecution: the server keeps no execution of this id.
            ServerLost: the server is gone and did not return in time: see `outlast`.
            TransportError: the server was not reached, or did not reply.
        """
        waiter = ExecutionWaiter(self.get_record, policy, self.outlast, self.pause)
        return waiter.wait(execution_id, timeout)

    def outlast(self, error: ServerLost | RequestTimeout, deadline: Deadline | None = None) -> None:
        """Wait for the return of a server that was lost or did not reply; then reconnect.

        Until the deadline; without one, for the configuration's ``reconnect_timeout``.

        Raises:
            ServerLost: it did not return in time; or, immediately, it ended without a journal,
                so that its executions are lost.
            RequestTimeout: it did not reply until the deadline.
        """
        is_over = deadline is not None and deadline.expired
        if not self.may_return or (is_over and isinstance(error, RequestTimeout)):
            raise error
        is_endless = deadline is None or deadline.remaining == float("inf")
        self.reconnect(None if deadline is None or is_endless else deadline.remaining)

    def cancel_execution(self, execution_id: ExecutionId) -> ExecutionStatus:
        """Cancel one execution; return its status.

        A queued one is cancelled immediately. The task of a running one is interrupted, and the
        execution ends a moment later.

        Raises:
            Conflict: it has ended already.
            DecodeError: the id is invalid.
            UnknownExecution: the server keeps no execution of this id.
        """
        with decode_errors("cancel request"):
            request = CancelRequest(execution_id=execution_id)
        reply = self._ask(request, OkReply)
        assert reply.execution_status is not None
        return reply.execution_status

    def read_log_tail(self, execution_id: ExecutionId, max_bytes: int = 16_384) -> LogReply:
        """Return the end of what a task has written to its stdout and stderr.

        Args:
            execution_id: the execution.
            max_bytes: how much of it, up to 64 KiB.

        Raises:
            DecodeError: an argument is invalid; the error names it.
            UnknownExecution: the server keeps no execution of this id.
        """
        with decode_errors("log request"):
            request = LogTailRequest(execution_id=execution_id, max_bytes=max_bytes)
        return self._ask(request, LogReply)

    def read_kept_events(self, execution_id: ExecutionId) -> list[ProgressEvent | StateEvent]:
        """Return the events of an execution that the server has kept, for `ExecutionHandle`.

        Empty when it has kept none, refuses, or does not reply.
        """
        return EventReplay(self).fetch(execution_id, 0)

    def _ask(
        self, request: Outgoing, expected: type[_R], timeout: float | None = None, hold: float = 0.0
    ) -> _R:
        return expect(expected, self.request(request, timeout, hold=hold))


def _check_named(execution_id: ExecutionId | None) -> None:
    """Raise for None, which the protocol reads as the whole server."""
    if execution_id is None:
        raise DecodeError.of_field(
            "status request", "execution_id", "an execution id is required, not None"
        )
