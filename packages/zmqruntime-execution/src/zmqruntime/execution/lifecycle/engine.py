"""Where executions are kept: the interface that the scheduler speaks to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from zmqruntime.execution.lifecycle.events import ProgressReport
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import ExecuteRequest, ExecutionErrorInfo, ExecutionStatus

__all__ = ["LifecycleEngine"]


class LifecycleEngine(ABC):
    """Keeps executions, their order and their states; decides nothing.

    One thread alone touches an engine. Times are Unix seconds. A method that moves an
    execution raises `IllegalTransition` where the lifecycle has no such move, and KeyError
    for an id that is not kept.
    """

    @abstractmethod
    def submit(self, request: ExecuteRequest, now: float) -> Execution:
        """Keep a new execution at the end of the queue; its id must be new."""

    @abstractmethod
    def start(self, execution_id: str, now: float) -> Execution:
        """Move a queued execution to running."""

    @abstractmethod
    def request_cancel(self, execution_id: str) -> Execution:
        """Note that a running execution is to be stopped."""

    @abstractmethod
    def finish(
        self,
        execution_id: str,
        status: ExecutionStatus,
        now: float,
        *,
        result: bytes | None = None,
        error: ExecutionErrorInfo | None = None,
    ) -> Execution:
        """Move an execution to a terminal state, and drop the oldest beyond the limit."""

    @abstractmethod
    def take_dropped(self) -> Sequence[str]:
        """Return what was dropped from history since the last call, so that others drop it, too."""

    @abstractmethod
    def next_sequence(self, execution_id: str) -> int:
        """Return the number of the execution's next event, 1 for the first."""

    @abstractmethod
    def keep_progress(self, execution_id: str, report: ProgressReport) -> None:
        """Keep the latest progress of a running execution."""

    @abstractmethod
    def get(self, execution_id: str) -> Execution | None:
        """Return an execution, or None when it is not kept (any more)."""

    @abstractmethod
    def peek(self) -> Execution | None:
        """Return the execution whose turn is next."""

    @abstractmethod
    def position(self, execution_id: str) -> int:
        """Return the place of a queued execution; 1 = next."""

    @abstractmethod
    def list_queued(self, limit: int, after_ticket: int = -1) -> Sequence[tuple[int, Execution]]:
        """Return up to ``limit`` queued executions behind a ticket, each with its place."""

    @abstractmethod
    def list_running(self) -> Sequence[Execution]:
        """Return what runs."""

    @property
    def durable(self) -> bool:
        """Whether what it keeps outlives the process."""
        return False

    @property
    @abstractmethod
    def counts(self) -> Mapping[ExecutionStatus, int]:
        """How many executions are kept in each state."""

    @property
    def queued_count(self) -> int:
        """How many wait."""
        return self.counts[ExecutionStatus.QUEUED]
