"""The lifecycle engine that keeps everything in memory, and history up to a limit."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count

from sortedcontainers import SortedDict

from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.events import ProgressReport
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.transitions import check_transition
from zmqruntime.messages import ExecuteRequest, ExecutionErrorInfo, ExecutionStatus

__all__ = ["InMemoryLifecycleEngine"]


class InMemoryLifecycleEngine(LifecycleEngine):
    """Keeps executions as long as the process lives.

    Args:
        history_limit: how many finished executions to keep; the oldest are dropped.
    """

    def __init__(self, history_limit: int = 1000) -> None:
        if history_limit < 0:
            raise ValueError(f"history_limit must be 0 or more, not {history_limit}")
        self._history_limit = history_limit
        self._executions: dict[str, Execution] = {}
        # By ticket: a sorted mapping tells a place in the queue without walking it.
        self._queue: SortedDict[int, Execution] = SortedDict()
        self._running: dict[str, Execution] = {}
        self._finished: deque[str] = deque()
        self._dropped: list[str] = []
        self._counts = dict.fromkeys(ExecutionStatus, 0)
        self._tickets = count()

    def submit(self, request: ExecuteRequest, now: float) -> Execution:
        execution = Execution.from_request(request, next(self._tickets), now)
        assert execution.execution_id not in self._executions
        self._executions[execution.execution_id] = execution
        self._queue[execution.ticket] = execution
        self._counts[ExecutionStatus.QUEUED] += 1
        return execution

    def start(self, execution_id: str, now: float) -> Execution:
        execution = self._move(execution_id, ExecutionStatus.RUNNING)
        execution.started_at = now
        self._running[execution_id] = execution
        return execution

    def request_cancel(self, execution_id: str) -> Execution:
        execution = self._running[execution_id]
        execution.cancel_requested = True
        return execution

    def finish(
        self,
        execution_id: str,
        status: ExecutionStatus,
        now: float,
        *,
        result: bytes | None = None,
        error: ExecutionErrorInfo | None = None,
    ) -> Execution:
        execution = self._move(execution_id, status)
        execution.finished_at = now
        execution.result = result
        execution.error = error
        execution.request = b""
        self._finished.append(execution_id)
        while len(self._finished) > self._history_limit:
            dropped = self._executions.pop(self._finished.popleft())
            self._counts[dropped.status] -= 1
            self._dropped.append(dropped.execution_id)
        return execution

    def take_dropped(self) -> Sequence[str]:
        dropped, self._dropped = self._dropped, []
        return dropped

    def next_sequence(self, execution_id: str) -> int:
        execution = self._executions[execution_id]
        execution.sequence += 1
        return execution.sequence

    def keep_progress(self, execution_id: str, report: ProgressReport) -> None:
        self._running[execution_id].progress = report

    def get(self, execution_id: str) -> Execution | None:
        return self._executions.get(execution_id)

    def peek(self) -> Execution | None:
        return self._queue.peekitem(0)[1] if self._queue else None

    def position(self, execution_id: str) -> int:
        return self._queue.index(self._executions[execution_id].ticket) + 1

    def list_queued(self, limit: int, after_ticket: int = -1) -> Sequence[tuple[int, Execution]]:
        first = self._queue.bisect_right(after_ticket)
        tickets = self._queue.keys()[first : first + limit]
        return [(first + n, self._queue[ticket]) for n, ticket in enumerate(tickets, start=1)]

    def list_running(self) -> Sequence[Execution]:
        return list(self._running.values())

    @property
    def counts(self) -> Mapping[ExecutionStatus, int]:
        return self._counts

    def _move(self, execution_id: str, status: ExecutionStatus) -> Execution:
        execution = self._executions[execution_id]
        check_transition(execution_id, execution.status, status)
        if execution.status is ExecutionStatus.QUEUED:
            del self._queue[execution.ticket]
        else:
            del self._running[execution_id]
        self._counts[execution.status] -= 1
        self._counts[status] += 1
        execution.status = status
        return execution
