"""What the world is told waits until it is committed; what comes together is committed together."""

from __future__ import annotations

import logging
from collections.abc import Callable

from zmqruntime.execution.core.effects import AssignTask, Effect, Publish
from zmqruntime.execution.errors import CommitFailed
from zmqruntime.execution.lifecycle import LifecycleEngine

__all__ = ["Committer", "Defer", "at_once"]

_log = logging.getLogger("zmqruntime.server")

Defer = Callable[[Callable[[], None]], None]
"""Calls back at another time."""


def at_once(callback: Callable[[], None]) -> None:
    """Call back now."""
    callback()


class Committer:
    """Lets the scheduler's effects out when what they tell is committed.

    Args:
        engine: what is committed.
        perform: does what is let out.
        on_failed: takes what was held, and why it could not be committed.
        on_recovered: called when the engine can be written again.
        soon: calls back when what has arrived together is handled.
        later: calls back a moment later, for changes that nobody waits for.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        *,
        perform: Callable[[list[Effect]], None],
        on_failed: Callable[[list[Effect], str], None],
        on_recovered: Callable[[], None],
        soon: Defer = at_once,
        later: Defer = at_once,
    ) -> None:
        self._engine = engine
        self._perform = perform
        self._on_failed = on_failed
        self._on_recovered = on_recovered
        self._soon = soon
        self._later = later
        self._held: list[Effect] = []
        self._commits_soon = self._commits_later = False

    def take(self, effects: list[Effect], *, is_worth_a_try: bool) -> None:
        """Perform effects, now or after the next commit.

        Where the engine cannot be written each try takes time: only some events are worth one.
        """
        engine = self._engine
        must_wait = engine.uncommitted and (engine.available or is_worth_a_try)
        if not (self._held or must_wait):
            self._perform(effects)
            return
        match effects:
            case [AssignTask() as start, *rest] if engine.is_committed(start.execution_id):
                self._perform([start])  # A task begins while its beginning is committed.
                effects = rest
        self.hold(effects)
        # Events wait a moment for others, so that many short tasks end in one commit.
        is_awaited = not all(isinstance(effect, Publish) for effect in effects)
        if is_awaited and not self._commits_soon:
            self._commits_soon = True
            self._soon(self.commit)
        elif not (self._commits_soon or self._commits_later):
            self._commits_later = True
            self._later(self._commit_at_last)

    def hold(self, effects: list[Effect]) -> None:
        """Keep effects for the next commit."""
        self._held += effects

    def commit(self) -> None:
        """Make sure of what has happened, and then let the world know."""
        self._commits_soon = False
        held, self._held = self._held, []
        was_available = self._engine.available
        try:
            self._engine.commit()
        except CommitFailed as error:
            if was_available:
                _log.error("%s; no work is taken or started until it can be", error)
            self._on_failed(held, str(error))
            return
        self._perform(held)
        if not was_available:
            _log.info("the journal can be written again")
            self._on_recovered()

    def _commit_at_last(self) -> None:
        self._commits_later = False
        self.commit()
