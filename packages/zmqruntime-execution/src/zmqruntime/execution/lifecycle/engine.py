"""The interface of a lifecycle engine, which keeps executions for the scheduler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zmqruntime.execution.lifecycle.events import ProgressReport
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import AttemptInfo, ExecuteHead, ExecutionErrorInfo, ExecutionStatus

__all__ = ["LifecycleEngine", "QueuePage"]

_QUEUED = ExecutionStatus.QUEUED  # Python 3.11 looks members of an enum up slowly.


class QueuePage(NamedTuple):
    """A part of the queue, in its order."""

    entries: Sequence[tuple[int, Execution]]
    """Each with its queue position; 1 = next."""
    cursor: str | None
    """The cursor of the next page; None: this is the last one."""


class LifecycleEngine(ABC):
    """Keeps executions, their order and their states; decides nothing.

    Each transition of an execution, and each progress report, is an event; `Execution.sequence` is
    the number of the last one, from 1.

    An engine is used by one thread. Times are Unix seconds. A transition that the lifecycle does
    not have raises `IllegalTransition`, and an unknown id KeyError.

    Effects of a change are held until it is committed. An engine that keeps its executions in
    memory inherits the methods for that, from `durable` on, which do nothing.
    """

    has_excess: bool = False
    """Whether more records are beyond the limits of history than one event evicts."""

    @abstractmethod
    def submit(self, request: ExecuteHead, now: float, frame: bytes = b"") -> Execution:
        """Add a new execution to the queue; its id must be new.

        Args:
            request: an `ExecuteRequest`, or an `UnparsedExecute`.
            now: the present.
            frame: the received frame of the request; empty: it is encoded.
        """

    @abstractmethod
    def start(self, execution_id: str, now: float) -> Execution:
        """Move a queued execution to running."""

    @abstractmethod
    def request_cancel(self, execution_id: str) -> Execution:
        """Mark a running execution as being cancelled."""

    @abstractmethod
    def requeue(
        self,
        execution_id: str,
        *,
        failed: AttemptInfo | None = None,
        retry_at: float | None = None,
    ) -> Execution:
        """Move a running execution back to the queue, by its order of arrival.

        Args:
            execution_id: the execution.
            failed: the failed attempt; None: it has not run, and goes back to the head. It is then
                the one that was started last.
            retry_at: the end of its backoff; until `release` it is behind all others. None: it may
                run again without a delay.
        """

    @abstractmethod
    def release(self, execution_id: str) -> None:
        """Add an execution to the queue whose backoff has ended."""

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
        """Move an execution to a terminal state, and evict records beyond the limits of history."""

    def mark_read(self, execution_id: str) -> None:  # noqa: B027 - an engine may keep all alike
        """Mark the record of an ended execution as read: it was sent to a client.

        An unread record is evicted at hard limits only; `get` then returns an execution without a
        result whose `result_dropped` is set. An unknown id is ignored.
        """

    def evict_more(self, now: float) -> None:  # noqa: B027 - nothing to do without `has_excess`
        """Evict further records beyond the limits of history."""

    @abstractmethod
    def take_dropped(self) -> Sequence[str]:
        """Return the ids of records that were evicted since the last call.

        Their events and logs are to be dropped, also where a tombstone is left.
        """

    @abstractmethod
    def keep_progress(
        self, execution_id: str, bodies: Sequence[bytes], now: float
    ) -> tuple[ProgressReport, ...]:
        """Number the progress reports of a running execution, keep the last one, and return all.

        Args:
            execution_id: the execution.
            bodies: the reports, the oldest first; at least one.
            now: the present, in Unix seconds.
        """

    @abstractmethod
    def get(self, execution_id: str) -> Execution | None:
        """Return an execution, or its tombstone (see `mark_read`); None for an unknown id."""

    @abstractmethod
    def peek(self) -> Execution | None:
        """Return the next execution to run; None if the queue is empty, or all are in a backoff."""

    @abstractmethod
    def position(self, execution_id: str) -> int:
        """Return the queue position of an execution; 1 = next."""

    @abstractmethod
    def list_queued(self, limit: int, cursor: str | None = None) -> QueuePage:
        """Return up to ``limit`` queued executions, after the page that had this cursor.

        Raises:
            ValueError: the cursor is invalid.
        """

    @abstractmethod
    def list_delayed(self) -> Sequence[Execution]:
        """Return the executions in a backoff, the first to end first."""

    @abstractmethod
    def list_running(self) -> Sequence[Execution]:
        """Return the running executions."""

    @property
    @abstractmethod
    def counts(self) -> Mapping[ExecutionStatus, int]:
        """How many executions are kept in each state, tombstones not included."""

    @property
    def queued_count(self) -> int:
        """How many executions are queued."""
        return self.counts[_QUEUED]

    @property
    @abstractmethod
    def queued_bytes(self) -> int:
        """How many bytes the queued requests have together, in constant time."""

    # -- commits --------------------------------------------------------------------------------

    @property
    def durable(self) -> bool:
        """Whether committed changes outlive the process; otherwise there are no others."""
        return False

    @property
    def uncommitted(self) -> bool:
        """Whether there are changes whose effects have to be held until the next `commit`."""
        return False

    @property
    def lags(self) -> bool:
        """Whether there are changes that effects need not wait for.

        Progress, and what an engine with a redo log has logged. The server commits them with the
        next other change, or after a second by `catch_up`.
        """
        return False

    def catch_up(self) -> None:  # noqa: B027 - nothing to do in memory
        """Make what `lags` `uncommitted`, so that the next `commit` writes it.

        The server calls it from a timer, a second after `lags` became true.
        """

    def is_committed(self, execution_id: str) -> bool:
        """Whether the start of an execution is recoverable, though a commit is pending.

        With a redo log: as soon as it contains the start, so that the task is assigned without
        waiting for the commit. Otherwise: after the commit.
        """
        return True

    @property
    def available(self) -> bool:
        """Whether the last `commit` succeeded."""
        return True

    def commit(self) -> None:  # noqa: B027 - nothing to do in memory
        """Make all changes durable, if there are any.

        Raises:
            CommitFailed: they cannot be written now, and are kept for the next commit.
        """

    def rollback(self) -> Sequence[Execution]:
        """Drop and return the executions that were submitted since the last successful commit.

        Executions that have run to their end are kept, and committed later.
        """
        return ()

    def close(self) -> None:  # noqa: B027 - nothing to do in memory
        """Commit, and release all resources. Raises as `commit` does."""
