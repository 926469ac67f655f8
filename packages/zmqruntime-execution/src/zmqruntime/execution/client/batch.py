"""Submit many, wait for all: with hooks, and with or without giving up at the first failure."""

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

# For how long the reply to a submission is held, since a short task ends until then.
_HOLD_SECONDS = 2.0
# How long one that has ended may go untold while those behind it are waited for.
_TOGETHER_SECONDS = 0.02
_MAX_GROUP = 64

_log = logging.getLogger("zmqruntime.client")


def _ignore(_: object) -> None:
    """Do nothing: the hook that nobody set."""


@dataclass(frozen=True, slots=True)
class BatchHooks:
    """What an application wants to be told. Called in the thread that runs the batch."""

    on_submitted: Callable[[ExecutionHandle], None] = _ignore
    on_finished: Callable[[ExecutionRecord], None] = _ignore


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The final records of a batch, in the order of its tasks; fewer when it was stopped."""

    records: tuple[ExecutionRecord, ...]

    @property
    def complete(self) -> bool:
        """Whether every execution completed."""
        return all(r.status is ExecutionStatus.COMPLETE for r in self.records)

    def results(self) -> list[JsonValue]:
        """Return what the tasks returned; raises for the first that did not complete.

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

    It keeps a bounded number of executions under way, so that a batch of any length fits the
    server's queue and each result is read before the server drops it from its history.

    Args:
        client: a connected client.
        policy: how patiently to wait for each.
        fail_fast: whether the first execution that does not complete cancels those under way,
            and no further task is submitted.
        hooks: what to call on the way.
        max_outstanding: how many executions to have under way at most.

    Raises:
        TypeError: an argument is of the wrong kind; the error names it.
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
        """Submit every task, wait for every execution, and return how each ended.

        When a task cannot be submitted, or a hook raises, those under way are cancelled and the
        error is raised. A server that is lost for good is raised as it is; then the executions
        go on, and the ids of those that it has accepted were given to ``on_submitted``.
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
    """One run: what is under way, and what has ended."""

    def __init__(
        self, client: ExecutionClient, tasks: Iterable[Any], config: Any, how: BatchSubmitWaitEngine
    ) -> None:
        self.records: list[ExecutionRecord] = []
        """Of those that have ended, as far as all before them have."""
        self._client = client
        self._pending = iter(tasks)
        self._config = config
        self._how = how
        self._all_taken = False
        self._under_way: dict[str, ExecutionHandle] = {}
        """In the order of the tasks; of some it is not known yet whether they are accepted."""
        self._ended: dict[str, ExecutionRecord] = {}
        self._order: deque[str] = deque()
        self._group = 1
        self._has_failed = False
        self._missed: set[str] = set()
        """Those still on their way when they were to be cancelled; they are when they are there."""

    @property
    def is_over(self) -> bool:
        """Whether all has ended that there is."""
        return self._all_taken and not self._under_way

    def submit(self) -> None:
        """Submit as many as may be under way together, and take the ends of those that are short.

        While others are waited for, what is submitted behind them is not.
        """
        hold = 0.0 if self._under_way else _HOLD_SECONDS
        following = self._client.follow_many(
            self._take_tasks(),
            self._config,
            hold=hold,
            window=self._how.max_outstanding,
            on_sent=self._note,
        )
        with contextlib.closing(following):
            for handle, record in following:
                self._how.hooks.on_submitted(handle)
                if record is not None and record.status.is_terminal:
                    self._end(record)
                elif handle.execution_id in self._missed:
                    self._cancel(handle)

    def wait_for_some(self) -> None:
        """Wait until the next one has ended; others may have ended with it."""
        ended = self._look_at(list(islice(self._under_way.values(), self._group)))
        if not ended and self._under_way:
            handle = next(iter(self._under_way.values()))
            ended = [handle.wait(policy=self._how.policy)]
        # Twice as many as last time, as long as they end together: neither a round trip for
        # each of many short tasks, nor a long one that is told late.
        self._group = max(1, min(2 * len(ended), _MAX_GROUP))
        for record in ended:
            self._end(record)

    def cancel(self) -> None:
        """Cancel what is under way, and take no more."""
        self._all_taken = True
        # From the end, so that none of them gets its turn meanwhile.
        for handle in reversed(self._under_way.values()):
            self._cancel(handle)

    def _cancel(self, handle: ExecutionHandle) -> None:
        try:
            handle.cancel()
        except Conflict as error:
            _log.debug("not cancelled: %s", error)  # It had ended.
        except UnknownExecution:
            self._missed.add(handle.execution_id)
        except TransportError as error:
            _log.warning("an execution of a batch was not cancelled: %s", error)

    def _take_tasks(self) -> Iterator[Any]:
        """Yield tasks as long as there is room for them, and any are left."""
        while not self._all_taken and len(self._under_way) < self._how.max_outstanding:
            try:
                task = next(self._pending)
            except StopIteration:
                self._all_taken = True
            else:
                yield task

    def _note(self, handle: ExecutionHandle) -> None:
        self._under_way[handle.execution_id] = handle
        self._order.append(handle.execution_id)

    def _look_at(self, handles: list[ExecutionHandle]) -> list[ExecutionRecord]:
        """Return the records of several that have ended, if these have; one is waited for."""
        if len(handles) < 2:
            return []
        names = [handle.execution_id for handle in handles]
        try:
            # They run in this order, as a rule: when the last one has ended, so have the others.
            self._client.get_record(names[-1], wait_seconds=_TOGETHER_SECONDS)
            records = self._client.get_records(names)
        except (ServerLost, RequestTimeout):
            return []  # Who waits for one outlasts that.
        return [record for record in records if record.status.is_terminal]

    def _end(self, record: ExecutionRecord) -> None:
        """Take the end of one, and tell of all that have ended in their order."""
        self._under_way.pop(record.execution_id, None)
        self._ended[record.execution_id] = record
        while self._order and self._order[0] in self._ended:
            next_one = self._ended.pop(self._order.popleft())
            self.records.append(next_one)
            self._how.hooks.on_finished(next_one)
        if record.status is not ExecutionStatus.COMPLETE and not self._has_failed:
            self._has_failed = True
            if self._how.fail_fast:
                self.cancel()
