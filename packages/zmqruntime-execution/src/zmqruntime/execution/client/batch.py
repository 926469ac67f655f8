"""Batches: submit many tasks, wait for all, with hooks and optional fail-fast."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from zmqruntime.execution.client.client import ExecutionClient
from zmqruntime.execution.client.handle import ExecutionHandle
from zmqruntime.execution.client.wait import WaitPolicy
from zmqruntime.execution.errors import Conflict, UnknownExecution, raise_unless_complete
from zmqruntime.messages import ExecutionRecord, ExecutionStatus, JsonValue
from zmqruntime.transport import NotConnected, RequestTimeout, ServerLost, TransportError
from zmqruntime.transport.lowlevel import check_number, check_type

__all__ = ["BatchHooks", "BatchResult", "BatchSubmitWaitEngine"]

# The hold of a submission's reply: short tasks end within it, and need one round trip.
_HOLD_SECONDS = 2.0
# How long the report of a finished execution may be delayed to read a whole group together.
_TOGETHER_SECONDS = 0.02
_MAX_GROUP = 64

_log = logging.getLogger("zmqruntime.client")


def _ignore(_: object) -> None:
    """Do nothing: the default hook."""


@dataclass(frozen=True, slots=True)
class BatchHooks:
    """Callbacks of a batch, called in the thread that runs it."""

    on_submitted: Callable[[ExecutionHandle], None] = _ignore
    """Called when the server has accepted a task."""
    on_finished: Callable[[ExecutionRecord], None] = _ignore
    """Called with each final record, in the order of the tasks."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The final records of a batch, in the order of its tasks; fewer after a fail-fast cancel."""

    records: tuple[ExecutionRecord, ...]

    @property
    def complete(self) -> bool:
        """Whether every execution completed."""
        return all(r.status is ExecutionStatus.COMPLETE for r in self.records)

    def results(self) -> list[JsonValue]:
        """Return the results of the tasks; raise for the first that did not complete.

        Raises:
            ExecutionFailed: one failed.
            ExecutionCancelled: one was cancelled.
            ResultDropped: the result of one was dropped before it was read.
        """
        for record in self.records:
            raise_unless_complete(record)
        return [record.result for record in self.records]


class BatchSubmitWaitEngine:
    """Runs batches of tasks through one client.

    The number of outstanding executions is bounded, so that a batch of any length fits the
    server's queue, and each result is read before the server drops it from its history.

    Args:
        client: a connected client.
        policy: the wait policy for each execution.
        fail_fast: whether the first execution that does not complete cancels the outstanding
            ones and ends the submission of tasks.
        hooks: callbacks.
        max_outstanding: the limit of outstanding executions.

    Raises:
        TypeError: an argument is of the wrong type; the error names it.
        ValueError: ``max_outstanding`` is less than 1.
    """

    def __init__(
        self,
        client: ExecutionClient,
        policy: WaitPolicy | None = None,
        *,
        fail_fast: bool = False,
        hooks: BatchHooks | None = None,
        max_outstanding: int = 200,
    ) -> None:
        check_type("client", client, ExecutionClient)
        check_type("policy", policy, WaitPolicy, optional=True)
        check_type("hooks", hooks, BatchHooks, optional=True)
        check_number("max_outstanding", max_outstanding, ge=1, whole=True)
        self.policy = policy
        self.fail_fast = fail_fast
        self.hooks = hooks or BatchHooks()
        self.max_outstanding = max_outstanding
        self._client = client

    def run(self, tasks: Iterable[Any], config: Any = None) -> BatchResult:
        """Submit every task, wait for every execution, and return the final records.

        When a task cannot be submitted, or a hook raises, the outstanding executions are
        cancelled and the error is raised. The loss of the server is raised without a cancel; the
        executions continue, and ``on_submitted`` has had a handle of each accepted one.
        """
        batch = _Batch(self._client, tasks, config, self)
        try:
            while not batch.is_over:
                batch.submit()
                batch.wait_for_some()
        except (ServerLost, RequestTimeout, NotConnected):
            raise
        except BaseException:
            batch.cancel()
            raise
        return BatchResult(tuple(batch.records))


class _Batch:
    """One run: its outstanding and its finished executions."""

    def __init__(
        self,
        client: ExecutionClient,
        tasks: Iterable[Any],
        config: Any,
        engine: BatchSubmitWaitEngine,
    ) -> None:
        self.records: list[ExecutionRecord] = []
        """Final records in the order of the tasks, up to the first outstanding one."""
        self._client = client
        self._pending = iter(tasks)
        self._config = config
        self._engine = engine
        self._exhausted = False
        self._outstanding: dict[str, ExecutionHandle] = {}
        """In the order of the tasks; some may not be accepted yet."""
        self._finished: dict[str, ExecutionRecord] = {}
        self._order: deque[str] = deque()
        self._group = 1
        self._has_failed = False
        self._to_cancel: set[str] = set()
        """Ids whose cancel came before their submission; cancelled again when accepted."""

    @property
    def is_over(self) -> bool:
        """Whether every task was submitted, and every execution has ended."""
        return self._exhausted and not self._outstanding

    def submit(self) -> None:
        """Submit tasks up to the limit, and collect the final records of short ones.

        Replies are held only if none is outstanding: else they would delay `wait_for_some`.
        """
        hold = 0.0 if self._outstanding else _HOLD_SECONDS
        following = self._client.follow_many(
            self._iterate_tasks(),
            self._config,
            hold=hold,
            window=self._engine.max_outstanding,
            on_sent=self._add,
        )
        with contextlib.closing(following):
            for handle, record in following:
                self._engine.hooks.on_submitted(handle)
                if record is not None and record.status.is_terminal:
                    self._finish(record)
                elif handle.execution_id in self._to_cancel:
                    self._cancel(handle)

    def wait_for_some(self) -> None:
        """Wait for the end of the next execution, and of those that end together with it."""
        ended = self._read_group(list(islice(self._outstanding.values(), self._group)))
        if not ended and self._outstanding:
            handle = next(iter(self._outstanding.values()))
            ended = [handle.wait(policy=self._engine.policy)]
        # Double the group as long as its members end together: short tasks share round trips,
        # and the end of a long one is reported without delay.
        self._group = max(1, min(2 * len(ended), _MAX_GROUP))
        for record in ended:
            self._finish(record)

    def cancel(self) -> None:
        """Cancel the outstanding executions, and submit no more."""
        self._exhausted = True
        # The last first, so that none of them starts in between.
        for handle in reversed(self._outstanding.values()):
            self._cancel(handle)

    def _cancel(self, handle: ExecutionHandle) -> None:
        try:
            handle.cancel()
        except Conflict as error:
            _log.debug("execution not cancelled: %s", error)  # It had ended.
        except UnknownExecution:
            self._to_cancel.add(handle.execution_id)
        except TransportError as error:
            _log.warning("execution %s not cancelled: %s", handle.execution_id, error)

    def _iterate_tasks(self) -> Iterator[Any]:
        """Yield tasks up to the limit of outstanding executions."""
        while not self._exhausted and len(self._outstanding) < self._engine.max_outstanding:
            try:
                task = next(self._pending)
            except StopIteration:
                self._exhausted = True
            else:
                yield task

    def _add(self, handle: ExecutionHandle) -> None:
        self._outstanding[handle.execution_id] = handle
        self._order.append(handle.execution_id)

    def _read_group(self, handles: list[ExecutionHandle]) -> list[ExecutionRecord]:
        """Return the final records in a group of two or more, after a short wait for its last."""
        if len(handles) < 2:
            return []
        names = [handle.execution_id for handle in handles]
        try:
            # Usually they run in this order: when the last one has ended, so have the others.
            self._client.get_record(names[-1], wait_seconds=_TOGETHER_SECONDS)
            records = self._client.get_records(names)
        except (ServerLost, RequestTimeout):
            return []  # `ExecutionHandle.wait` retries.
        return [record for record in records if record.status.is_terminal]

    def _finish(self, record: ExecutionRecord) -> None:
        """Record one end; report all records that are next in the order of the tasks."""
        self._outstanding.pop(record.execution_id, None)
        self._finished[record.execution_id] = record
        while self._order and self._order[0] in self._finished:
            following = self._finished.pop(self._order.popleft())
            self.records.append(following)
            self._engine.hooks.on_finished(following)
        if record.status is not ExecutionStatus.COMPLETE and not self._has_failed:
            self._has_failed = True
            if self._engine.fail_fast:
                self.cancel()
