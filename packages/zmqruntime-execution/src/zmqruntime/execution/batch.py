"""Submit many, wait for all: with hooks, and with or without giving up at the first failure."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from zmqruntime.execution.client import ExecutionClient
from zmqruntime.execution.errors import Conflict, raise_unless_complete
from zmqruntime.execution.handle import ExecutionHandle
from zmqruntime.execution.wait import WaitPolicy
from zmqruntime.messages import ExecutionRecord, ExecutionStatus, JsonValue

__all__ = ["BatchHooks", "BatchResult", "BatchSubmitWaitEngine"]

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
        if max_outstanding < 1:
            raise ValueError(f"max_outstanding must be at least 1, not {max_outstanding}")
        self._client = client
        self._policy = policy
        self._fail_fast = fail_fast
        self._hooks = hooks or BatchHooks()
        self._max_outstanding = max_outstanding

    def run(self, tasks: Iterable[Any], config: Any = None) -> BatchResult:
        """Submit every task, wait for every execution, and return how each ended.

        When a task cannot be submitted, those under way are cancelled and the error is
        raised. What the client raises while waiting is raised as it is; then the executions
        go on, and their ids were given to ``on_submitted``.
        """
        pending = iter(tasks)
        outstanding: deque[ExecutionHandle] = deque()
        records: list[ExecutionRecord] = []
        stopped = False
        group = 1
        while True:
            if not stopped:
                self._fill(outstanding, pending, config)
            if not outstanding:
                return BatchResult(tuple(records))
            ended = self._take_ended(outstanding, group)
            # Twice as many as last time, as long as they end together: neither a round trip for
            # each of many short tasks, nor a long one that is told late.
            group = min(2 * len(ended), _MAX_GROUP)
            for record in ended:
                records.append(record)
                self._hooks.on_finished(record)
            if self._fail_fast and not stopped and not BatchResult(tuple(ended)).complete:
                stopped = True
                self._cancel(outstanding)

    def _fill(
        self, outstanding: deque[ExecutionHandle], pending: Iterator[Any], config: Any
    ) -> None:
        """Submit as many tasks as may be under way together."""
        try:
            tasks = islice(pending, self._max_outstanding - len(outstanding))
            handles = self._client.submit_many(tasks, config)
            outstanding.extend(handles)  # All of them, should a hook raise.
            for handle in handles:
                self._hooks.on_submitted(handle)
        except BaseException:
            self._cancel(outstanding)
            raise

    def _take_ended(self, outstanding: deque[ExecutionHandle], group: int) -> list[ExecutionRecord]:
        """Take those of the first ``group`` that end within a moment; wait for one at least."""
        ended: list[ExecutionRecord] = []
        if group > 1:
            names = [handle.execution_id for handle in islice(outstanding, group)]
            # They run in this order, as a rule: when the last one has ended, so have the others.
            self._client.get_record(names[-1], wait_seconds=_TOGETHER_SECONDS)
            records = self._client.get_records(names)
            ended.extend(takewhile(lambda record: record.status.is_terminal, records))
        for _ in ended:
            outstanding.popleft()
        return ended or [outstanding.popleft().wait(policy=self._policy)]

    def _cancel(self, outstanding: deque[ExecutionHandle]) -> None:
        # From the end, so that none of them gets its turn meanwhile.
        for handle in reversed(outstanding):
            try:
                handle.cancel()
            except Conflict:
                _log.debug("execution %s had ended already", handle.execution_id)
