"""The scheduler's way to the world: requests become events, and effects are performed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from zmqruntime.execution.core import Now, Scheduler
from zmqruntime.execution.core.effects import (
    AssignTask,
    Effect,
    Exit,
    InterruptTask,
    KillWorker,
    Publish,
    Reply,
    StartWorker,
)
from zmqruntime.execution.core.events import (
    CancelRequested,
    Event,
    ShutdownRequested,
    StatusRequested,
    Submitted,
    TimerDue,
)
from zmqruntime.execution.errors import CommitFailed
from zmqruntime.execution.lifecycle import ExecutionEvent
from zmqruntime.execution.runner import TaskRunner
from zmqruntime.messages import (
    CancelRequest,
    ExecuteRequest,
    ExecutionStatus,
    Request,
    ShutdownMode,
    StatusRequest,
)
from zmqruntime.transport import Caller

__all__ = ["Dispatcher", "Outlet"]

_log = logging.getLogger("zmqruntime.server")


class Outlet(Protocol):
    """What carries a dispatcher's words to its clients: sockets, or none at all."""

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        """Send the one reply that ``caller`` is owed, encoded."""

    def publish_event(self, topic: bytes, execution_id: str, event: ExecutionEvent) -> None:
        """Send an event to whoever subscribed to its topic."""

    def exit(self, failure: str | None) -> None:
        """End the server; ``failure`` says why, when nobody asked for it."""

    def handled(self, event: Event) -> None:
        """Take note that an event has been handled; the next deadline may be another."""


def _at_once(callback: Callable[[], None]) -> None:
    callback()


class Dispatcher:
    """Drives one scheduler and one runner. Holds no socket, no thread and no lock.

    Args:
        scheduler: nobody else uses it.
        runner: nobody else uses it.
        outlet: where replies and events go.
        soon: calls back when what has arrived together is handled, so that it is committed
            together. At once, unless told otherwise.
        later: calls back a moment later, for changes that nobody waits for. At once, too.
        wall: the time in Unix seconds, for records.
        monotonic: the time in seconds, for deadlines.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        runner: TaskRunner,
        outlet: Outlet,
        *,
        soon: Callable[[Callable[[], None]], None] = _at_once,
        later: Callable[[Callable[[], None]], None] = _at_once,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._outlet = outlet
        self._soon = soon
        self._later = later
        self._held: list[Effect] = []
        self._commits_soon = self._commits_later = False
        self._wall = wall
        self._monotonic = monotonic
        self._perform: dict[type[Effect], Callable[[Any], None]] = {
            Reply: lambda effect: outlet.send_reply(effect.caller, effect.frame),
            Publish: lambda effect: outlet.publish_event(
                effect.topic, effect.execution_id, effect.event
            ),
            AssignTask: lambda effect: runner.assign(effect.execution_id, effect.request),
            InterruptTask: lambda effect: runner.interrupt(effect.execution_id),
            KillWorker: lambda effect: runner.kill_worker(),
            StartWorker: lambda effect: runner.start_worker(),
            Exit: lambda effect: outlet.exit(effect.failure),
        }

    @property
    def ready(self) -> bool:
        """Whether a task submitted now would start, or wait only for others."""
        return self._scheduler.ready

    @property
    def next_deadline(self) -> float | None:
        """When, on the monotonic clock, `wake` is wanted."""
        return self._scheduler.next_deadline

    def start(self) -> None:
        """Do what has to be done before the first event."""
        self._held += self._scheduler.start(self._now())
        self._commit()
        self._outlet.handled(TimerDue())

    def handle(self, event: Event) -> None:
        """Have the scheduler take an event, and do what it wants done: once that is committed."""
        effects = self._scheduler.handle(event, self._now())
        if self._held or self._must_commit(event):
            self._hold(effects)
        else:
            self._perform_all(effects)
        self._outlet.handled(event)

    def close(self) -> None:
        """Give the engine back. Raises `CommitFailed` when the last changes are lost."""
        self._scheduler.engine.close()

    def handle_request(self, request: Request, caller: Caller) -> bool:
        """Take a request about executions; return False for any other one."""
        match request:
            case ExecuteRequest():
                self.handle(Submitted(request, caller))
            case StatusRequest():
                self.handle(StatusRequested(request, caller))
            case CancelRequest():
                self.handle(CancelRequested(request, caller))
            case _:
                return False
        return True

    def shut_down(self, mode: ShutdownMode, *, forced: bool = False) -> None:
        """Begin to end; ``forced``: without any grace."""
        self.handle(ShutdownRequested(mode, forced=forced))

    def wake(self) -> None:
        """Do what has become due."""
        self.handle(TimerDue())

    def describe_work(self, limit: int) -> dict[str, Any]:
        """Return the pong's fields on executions and workers."""
        engine = self._scheduler.engine
        running = engine.list_running()
        return {
            "running_executions": tuple(e.to_running_info() for e in running[:limit]),
            "queued_executions": tuple(
                e.to_queued_info(place) for place, e in engine.list_queued(limit).entries
            ),
            "running_count": engine.counts[ExecutionStatus.RUNNING],
            "queued_count": engine.queued_count,
            "workers": self._runner.describe(self._scheduler.current_id),
        }

    def _now(self) -> Now:
        return Now(self._wall(), self._monotonic())

    def _must_commit(self, event: Event) -> bool:
        engine = self._scheduler.engine
        # Where it cannot be written, each try takes time: only new work is worth one.
        return engine.uncommitted and (engine.available or isinstance(event, Submitted | TimerDue))

    def _hold(self, effects: list[Effect]) -> None:
        """Keep effects until what they tell is committed; but a task begins meanwhile."""
        match effects:
            case [AssignTask() as start, *rest] if self._scheduler.engine.is_committed(
                start.execution_id
            ):
                self._perform_all([start])
                effects = rest
        self._held += effects
        # Events wait a moment for others, so that many short tasks end in one commit.
        is_awaited = not all(isinstance(effect, Publish) for effect in effects)
        if is_awaited and not self._commits_soon:
            self._commits_soon = True
            self._soon(self._commit)
        elif not (self._commits_soon or self._commits_later):
            self._commits_later = True
            self._later(self._commit_at_last)

    def _commit_at_last(self) -> None:
        self._commits_later = False
        self._commit()

    def _commit(self) -> None:
        """Make sure of what has happened, and then let the world know."""
        self._commits_soon = False
        held, self._held = self._held, []
        engine = self._scheduler.engine
        was_available = engine.available
        try:
            engine.commit()
        except CommitFailed as error:
            if was_available:
                _log.error("%s; no work is taken or started until it can be", error)
            self._perform_all(self._scheduler.commit_failed(held, str(error), self._now()))
            self._outlet.handled(TimerDue())
            return
        self._perform_all(held)
        if not was_available:
            _log.info("the journal can be written again")
            self.wake()

    def _perform_all(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._perform[type(effect)](effect)
