"""Where executions are kept: the interface that the scheduler speaks to."""

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
    """A part of the queue, in the order of the turns."""

    entries: Sequence[tuple[int, Execution]]
    """Each with its place; 1 = next."""
    cursor: str | None
    """What to ask for the next page with; None: this is the last one."""


class LifecycleEngine(ABC):
    """Keeps executions, their order and their states; decides nothing.

    Each move of an execution, and each report of its progress, is an event; `Execution.sequence`
    is the number of the last one, from 1.

    One thread alone touches an engine. Times are Unix seconds. A method that moves an
    execution raises `IllegalTransition` where the lifecycle has no such move, and KeyError
    for an id that is not kept.

    What an engine keeps is told to the world only when it is committed. One that keeps its
    executions in memory has nothing to do for that, and inherits the last part as it is.
    """

    has_excess: bool = False
    """Whether more is beyond the limits of history than one event evicts."""

    @abstractmethod
    def submit(self, request: ExecuteHead, now: float, frame: bytes = b"") -> Execution:
        """Keep a new execution in the queue; its id must be new.

        Args:
            request: what to execute: an `ExecuteRequest`, or an `UnparsedExecute`.
            now: when.
            frame: what the request was read from; empty: it is encoded.
        """

    @abstractmethod
    def start(self, execution_id: str, now: float) -> Execution:
        """Move a queued execution to running."""

    @abstractmethod
    def request_cancel(self, execution_id: str) -> Execution:
        """Note that a running execution is to be stopped."""

    @abstractmethod
    def requeue(
        self,
        execution_id: str,
        *,
        failed: AttemptInfo | None = None,
        retry_at: float | None = None,
    ) -> Execution:
        """Move a running execution back to the queue, where its arrival puts it.

        Args:
            execution_id: which one.
            failed: the attempt that has failed, so that it is the next one's turn; None: it
                has not run at all, and is the next one again; then it is the one started last.
            retry_at: until when it waits behind all others, for `release`; None: it does not.
        """

    @abstractmethod
    def release(self, execution_id: str) -> None:
        """Let an execution have its place in the queue, whose time to be tried again has come."""

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
        """Move an execution to a terminal state, and evict what is beyond the limits of history."""

    def mark_read(self, execution_id: str) -> None:  # noqa: B027 - an engine may keep all alike
        """Note that the record of an ended execution was sent to a client.

        A record that was not read is not evicted to make room for others, but at hard limits of
        the engine's; `get` then returns an execution without a result, whose `result_dropped` is
        set. Nothing happens for an id that is not kept.
        """

    def evict_more(self, now: float) -> None:  # noqa: B027 - nothing to do without `has_excess`
        """Evict some of what is beyond the limits of history."""

    @abstractmethod
    def take_dropped(self) -> Sequence[str]:
        """Return what was evicted from history since the last call, so that others drop it, too.

        Also what has left a tombstone: nothing else is kept of it.
        """

    @abstractmethod
    def keep_progress(
        self, execution_id: str, bodies: Sequence[bytes], now: float
    ) -> tuple[ProgressReport, ...]:
        """Number what a running execution has reported, keep the last of it, and return all.

        Args:
            execution_id: which one.
            bodies: what it has reported, the oldest first; one report at least.
            now: the present, in Unix seconds.
        """

    @abstractmethod
    def get(self, execution_id: str) -> Execution | None:
        """Return an execution, or None when it is not kept (any more).

        Of what was evicted unread, return what is left: see `mark_read`.
        """

    @abstractmethod
    def peek(self) -> Execution | None:
        """Return the execution whose turn is next; None also when all wait to be tried again."""

    @abstractmethod
    def position(self, execution_id: str) -> int:
        """Return the place of a queued execution; 1 = next."""

    @abstractmethod
    def list_queued(self, limit: int, cursor: str | None = None) -> QueuePage:
        """Return up to ``limit`` queued executions, from where the last page ended.

        Raises:
            ValueError: no page had this cursor.
        """

    @abstractmethod
    def list_delayed(self) -> Sequence[Execution]:
        """Return what waits to be tried again, the next first."""

    @abstractmethod
    def list_running(self) -> Sequence[Execution]:
        """Return what runs."""

    @property
    @abstractmethod
    def counts(self) -> Mapping[ExecutionStatus, int]:
        """How many executions are kept in each state, those evicted unread not among them."""

    @property
    def queued_count(self) -> int:
        """How many wait."""
        return self.counts[_QUEUED]

    @property
    @abstractmethod
    def queued_bytes(self) -> int:
        """How many bytes the requests of all that wait have. Costs the same for any queue."""

    # -- what outlives the process --------------------------------------------------------------

    @property
    def durable(self) -> bool:
        """Whether the next process that opens it finds what was committed.

        One that is not never has anything `uncommitted`.
        """
        return False

    @property
    def uncommitted(self) -> bool:
        """Whether there is something that must not be told before the next `commit`."""
        return False

    @property
    def lags(self) -> bool:
        """Whether there is something that may be told at once, and committed a second later."""
        return False

    def catch_up(self) -> None:  # noqa: B027 - nothing to do in memory
        """Let what lags be `uncommitted`: its second is over."""

    def is_committed(self, execution_id: str) -> bool:
        """Whether an execution may begin: the next process would know of it, and of its start."""
        return True

    @property
    def available(self) -> bool:
        """Whether the last `commit` has worked."""
        return True

    def commit(self) -> None:  # noqa: B027 - nothing to do in memory
        """Make sure of everything so far; returns at once when there is nothing new.

        Raises:
            CommitFailed: it cannot be written now. What is new is still kept, for the next time.
        """

    def rollback(self) -> Sequence[Execution]:
        """Drop and return what was submitted since the last commit that worked.

        Not what has run to its end meanwhile: that is told, and written later.
        """
        return ()

    def close(self) -> None:  # noqa: B027 - nothing to do in memory
        """Commit what can be, and give everything back. Raises as `commit` does."""
