"""Group commit: effects are released when the transaction that they depend on is durable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from zmqruntime.execution.core.effects import (
    AssignTask,
    Effect,
    ForgetLog,
    InterruptTask,
    Publish,
)
from zmqruntime.execution.errors import CommitFailed
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.messages import ExecutionStatus

__all__ = ["Defer", "GroupCommit"]

_log = logging.getLogger("zmqruntime.server")

Defer = Callable[[Callable[[], None]], None]
"""Schedules a callback."""


class GroupCommit:
    """Holds effects until the changes they depend on are committed, many events at a time.

    Args:
        engine: is committed.
        perform: performs one released effect.
        on_failed: takes the held effects of a commit that failed.
        on_recovered: called when a commit works again after one has failed.
        soon: schedules a callback for when all events that have arrived are handled; None: for the
            end of the event.
        later: schedules a callback a moment later, to batch with further events; None: for the end
            of the event.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        *,
        perform: Callable[[Effect], None],
        on_failed: Callable[[list[Effect]], None],
        on_recovered: Callable[[], None],
        soon: Defer | None = None,
        later: Defer | None = None,
    ) -> None:
        self._engine = engine
        self._perform = perform
        self._on_failed = on_failed
        self._on_recovered = on_recovered
        self._soon = soon or self._at_event_end
        self._later = later or self._at_event_end
        self._callbacks: list[Callable[[], None]] = []
        self._held: list[Effect] = []
        self._blocked: set[str] = set()
        """Executions with a held `ForgetLog` or `InterruptTask`: it precedes their next run."""
        self._commits_soon = self._commits_later = False
        self._is_end = False
        self._may_retry = True

    def add_event(self, effects: Iterable[Effect], *, is_end: bool, may_retry: bool) -> None:
        """Release or hold the effects of an event, and schedule the commit of its changes.

        Args:
            effects: in order.
            is_end: whether the event is the end of a task. While the worker is busy with the next
                one, the commit waits a moment for further ends: many short tasks share it.
            may_retry: whether to commit although the last commit has failed. Each try takes time,
                so only some events are worth it.
        """
        self._is_end = is_end
        self._may_retry = may_retry
        self.add(effects)
        if self._must_commit and not (self._commits_soon or self._commits_later):
            self._commits_later = True
            self._later(self._on_later)
        if self._callbacks:
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()

    def add(self, effects: Iterable[Effect]) -> None:
        """Release effects, or hold them until the next commit."""
        for effect in effects:
            # A task may begin while its start is being committed.
            if not (self._held or self._must_commit) or (
                isinstance(effect, AssignTask) and self._may_begin(effect.execution_id)
            ):
                self._perform(effect)
                continue
            self._held.append(effect)
            if isinstance(effect, ForgetLog | InterruptTask):
                self._blocked.add(effect.execution_id)
            # Events always wait a moment for others.
            if not (isinstance(effect, Publish) or self._more_ends_follow):
                self._commit_soon()

    def commit(self) -> None:
        """Commit all changes, then release the held effects."""
        self._commits_soon = False
        held, self._held = self._held, []
        self._blocked.clear()
        was_available = self._engine.available
        try:
            self._engine.commit()
        except CommitFailed as error:
            if was_available:
                _log.error("%s; no execution is accepted or started until it can be", error)
            self._may_retry = False
            self._on_failed(held)
            return
        for effect in held:
            self._perform(effect)
        if not was_available:
            _log.info("the journal can be written again")
            self._on_recovered()

    @property
    def _must_commit(self) -> bool:
        engine = self._engine
        return engine.uncommitted and (engine.available or self._may_retry)

    @property
    def _more_ends_follow(self) -> bool:
        return self._is_end and self._engine.counts[ExecutionStatus.RUNNING] > 0

    def _may_begin(self, execution_id: str) -> bool:
        return execution_id not in self._blocked and self._engine.is_committed(execution_id)

    def _commit_soon(self) -> None:
        if not self._commits_soon:
            self._commits_soon = True
            self._soon(self.commit)

    def _on_later(self) -> None:
        self._commits_later = False
        self.commit()

    def _at_event_end(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)
