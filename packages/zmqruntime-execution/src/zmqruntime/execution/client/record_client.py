"""`RecordClient`: asks a server for what it keeps of executions, and has them cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from zmqruntime.execution.client.replay import MissedEvents
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
    Outgoing,
    ProgressEvent,
    Reply,
    StateEvent,
    StatusRequest,
    explaining,
)
from zmqruntime.transport import Deadline, RequestTimeout, ServerLost, ZMQClient

__all__ = ["RecordClient"]

_R = TypeVar("_R", bound=Reply)


class RecordClient(ZMQClient):
    """A client of an execution server, as far as it asks about executions, whoever submitted them.

    Takes what `ZMQClient` takes.
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
        """Return a snapshot of one execution, or of the server's queue, page by page.

        Args:
            execution_id: which; None for the whole server.
            wait_seconds: how long the server holds the answer while the execution goes on.
            limit: how many queued executions to list.
            cursor: the last page's.
            timeout: seconds beside ``wait_seconds``; None for the configuration's.

        Raises:
            DecodeError: an argument is wrong; the error names it.
            UnknownExecution: the server keeps none of this id.
            TransportError: the server was not reached.
        """
        with explaining("status request"):
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
        for name in execution_ids:  # All of them, before the first is asked for.
            _check_named(name)
        with explaining("status request"):
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
        """Return the final record of an execution, as soon as it has one, however it ended.

        Raises:
            WaitTimeout: it has not ended after ``timeout`` seconds, and goes on.
            UnknownExecution: the server keeps none of this id.
            ServerLost: the server is gone, and was not back in time: see `outlast`.
            TransportError: the server was not reached.
        """
        waiter = ExecutionWaiter(self.get_record, policy, self.outlast, self.pause)
        return waiter.wait(execution_id, timeout)

    def outlast(self, error: ServerLost | RequestTimeout, deadline: Deadline | None = None) -> None:
        """Wait for a server that was lost, or silent, to be back, as far as that makes sense.

        Until the deadline, or without one for the configuration's ``reconnect_timeout``.

        Raises:
            ServerLost: it is not back by then; or, at once, its process has ended and has kept
                nothing for another one.
            RequestTimeout: it was silent until the deadline.
        """
        is_over = deadline is not None and deadline.expired
        if not self.may_return or (is_over and isinstance(error, RequestTimeout)):
            raise error
        is_endless = deadline is None or deadline.remaining == float("inf")
        self.reconnect(None if deadline is None or is_endless else deadline.remaining)

    def cancel_execution(self, execution_id: ExecutionId) -> ExecutionStatus:
        """Ask the server to stop one execution and no other; return its status now.

        Raises:
            Conflict: it has ended already.
            DecodeError: the id is none.
            UnknownExecution: the server keeps none of this id.
        """
        with explaining("cancel request"):
            request = CancelRequest(execution_id=execution_id)
        reply = self._ask(request, OkReply)
        assert reply.execution_status is not None
        return reply.execution_status

    def read_log_tail(self, execution_id: ExecutionId, max_bytes: int = 16_384) -> LogReply:
        """Return the end of what a task has written to its stdout and stderr.

        Args:
            execution_id: which.
            max_bytes: how much of it, up to 64 KiB.

        Raises:
            DecodeError: an argument is wrong; the error names it.
            UnknownExecution: the server keeps none of this id.
        """
        with explaining("log request"):
            request = LogTailRequest(execution_id=execution_id, max_bytes=max_bytes)
        return self._ask(request, LogReply)

    def read_kept_events(self, execution_id: ExecutionId) -> list[ProgressEvent | StateEvent]:
        """Return the events of an execution that the server keeps, for `ExecutionHandle`.

        None when it keeps none, does not say, or is not reached.
        """
        return MissedEvents(self).ask(execution_id, 0)

    def _ask(
        self, request: Outgoing, expected: type[_R], timeout: float | None = None, hold: float = 0.0
    ) -> _R:
        return expect(expected, self.request(request, timeout, hold=hold))


def _check_named(execution_id: ExecutionId | None) -> None:
    """Refuse None where one execution is meant: to the protocol it stands for the whole server."""
    if execution_id is None:
        raise DecodeError.of_field("status request", "execution_id", "None names no execution")
