"""Submit many, wait for all: with hooks, and with or without giving up at the first failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from zmqruntime.execution.client import ExecutionClient
from zmqruntime.execution.errors import Conflict, raise_unless_complete
from zmqruntime.execution.handle import ExecutionHandle
from zmqruntime.execution.wait import WaitPolicy
from zmqruntime.messages import ExecutionRecord, ExecutionStatus, JsonValue

__all__ = ["BatchHooks", "BatchResult", "BatchSubmitWaitEngine"]

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
    """The final records of a batch, in the order in which its tasks were given."""

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

    Args:
        client: a connected client.
        policy: how patiently to wait for each.
        fail_fast: whether the first execution that does not complete cancels all others.
        hooks: what to call on the way.
    """

    def __init__(
        self,
        client: ExecutionClient,
        policy: WaitPolicy | None = None,
        *,
        fail_fast: bool = False,
        hooks: BatchHooks | None = None,
    ) -> None:
        self._client = client
        self._policy = policy
        self._fail_fast = fail_fast
        self._hooks = hooks or BatchHooks()

    def run(self, tasks: Iterable[Any], config: Any = None) -> BatchResult:
        """Submit every task, wait for every execution, and return how each ended.

        When a task cannot be submitted, those before it are cancelled and the error is
        raised. What the client raises while waiting is raised as it is; then the executions
        go on, and their ids were given to ``on_submitted``.
        """
        handles = self._submit(tasks, config)
        records = []
        failed = False
        for handle in handles:
            record = handle.wait(policy=self._policy)
            records.append(record)
            self._hooks.on_finished(record)
            if self._fail_fast and not failed and record.status is not ExecutionStatus.COMPLETE:
                failed = True
                self._cancel(handles[len(records) :])
        return BatchResult(tuple(records))

    def _submit(self, tasks: Iterable[Any], config: Any) -> list[ExecutionHandle]:
        handles: list[ExecutionHandle] = []
        try:
            for task in tasks:
                handle = self._client.submit_execution(task, config)
                handles.append(handle)
                self._hooks.on_submitted(handle)
        except BaseException:
            self._cancel(handles)
            raise
        return handles

    def _cancel(self, handles: Iterable[ExecutionHandle]) -> None:
        # From the end, so that none of them gets its turn meanwhile.
        for handle in reversed(list(handles)):
            try:
                handle.cancel()
            except Conflict:
                _log.debug("execution %s had ended already", handle.execution_id)
