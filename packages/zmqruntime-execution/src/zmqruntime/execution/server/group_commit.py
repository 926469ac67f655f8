"""What the world is told waits until it is committed; what comes together is committed together."""

from __future__ import annotations

import logging
from collections.abc import Callable

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

__all__ = ["Committer", "Defer"]

_log = logging.getLogger("zmqruntime.server")

Defer = Callable[[Callable[[], None]], None]
"""Calls back at another time."""


class Committer:
    """Lets the scheduler's effects out when what they tell is committed.

    Args:
        engine: what is committed.
        perform: does one effect that is let out.
        on_failed: takes what was held and could not be committed.
        on_recovered: called when the engine can be written again.
        soon: calls back when what has arrived together is handled; None: at the event's end.
        later: calls back a moment later, for what will soon be followed by more of its kind, or
            nobody waits for; None: the same.
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
        self._soon = soon or self._at_the_end
        self._later = later or self._at_the_end
        self._ends: list[Callable[[], None]] = []
        self._held: list[Effect] = []
        self._in_the_way: set[str] = set()
        """Whose log is to go, or whose run is to be stopped: the next run comes behind that."""
        self._commits_soon = self._commits_later = False
        self._is_end = False
        self._is_worth_a_try = True

    def begin_event(self, *, is_end: bool, is_worth_a_try: bool) -> None:
        """Note what the event at hand is.

        Args:
            is_end: the end of a task. While the worker is busy with the next one, it waits a
                moment for further ends, so that many short tasks end in one commit.
            is_worth_a_try: whether to commit where the last commit has failed. Each try takes
                time there, so only some events are worth it.
        """
        self._is_end = is_end
        self._is_worth_a_try = is_worth_a_try

    def take(self, effect: Effect) -> None:
        """Perform an effect, now or after the next commit."""
        if not (self._held or self._must_commit):
            self._perform(effect)
        elif isinstance(effect, AssignTask) and self._may_begin(effect.execution_id):
            self._perform(effect)  # A task begins while its beginning is committed.
        else:
            self._held.append(effect)
            if isinstance(effect, ForgetLog | InterruptTask):
                self._in_the_way.add(effect.execution_id)
            # Events wait a moment for others in any case.
            if not (isinstance(effect, Publish) or self._more_ends_follow):
                self._commit_soon()

    def end_event(self) -> None:
        """See to it that what the event at hand has changed is committed."""
        if self._must_commit and not (self._commits_soon or self._commits_later):
            self._commits_later = True
            self._later(self._commit_at_last)
        if self._ends:
            ends, self._ends = self._ends, []
            for end in ends:
                end()

    def commit(self) -> None:
        """Make sure of what has happened, and then let the world know."""
        self._commits_soon = False
        held, self._held = self._held, []
        self._in_the_way.clear()
        was_available = self._engine.available
        try:
            self._engine.commit()
        except CommitFailed as error:
            if was_available:
                _log.error("%s; no work is taken or started until it can be", error)
            self._is_worth_a_try = False
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
        return engine.uncommitted and (engine.available or self._is_worth_a_try)

    @property
    def _more_ends_follow(self) -> bool:
        return self._is_end and self._engine.counts[ExecutionStatus.RUNNING] > 0

    def _may_begin(self, execution_id: str) -> bool:
        return execution_id not in self._in_the_way and self._engine.is_committed(execution_id)

    def _commit_soon(self) -> None:
        if not self._commits_soon:
            self._commits_soon = True
            self._soon(self.commit)

    def _commit_at_last(self) -> None:
        self._commits_later = False
        self.commit()

    def _at_the_end(self, callback: Callable[[], None]) -> None:
        self._ends.append(callback)
