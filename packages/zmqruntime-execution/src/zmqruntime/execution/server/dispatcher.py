"""The dispatcher: turns requests into events, and performs the effects of the scheduler."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from zmqruntime.execution.core.effects import (
    AssignTask,
    Effect,
    Exit,
    ForgetLog,
    InterruptTask,
    KillWorker,
    LargeReply,
    LogCancelled,
    Publish,
    Reply,
    StartWorker,
)
from zmqruntime.execution.core.events import (
    CancelRequested,
    Event,
    EventsRequested,
    Now,
    ShutdownRequested,
    StatusRequested,
    Submitted,
    TaskRaised,
    TaskReturned,
    TaskStopped,
    TimerDue,
)
from zmqruntime.execution.core.replies import unknown_execution
from zmqruntime.execution.core.scheduler import Scheduler
from zmqruntime.execution.lifecycle.events import ExecutionEvent, StateChange
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.runner import TaskRunner
from zmqruntime.execution.server.group_commit import Defer, GroupCommit
from zmqruntime.messages import (
    CancelRequest,
    EventsRequest,
    ExecuteRequest,
    ExecutionStatus,
    Incoming,
    LogTailRequest,
    Request,
    ShutdownMode,
    StatusRequest,
    UnparsedExecute,
    printable,
)
from zmqruntime.messages.lowlevel import encode_with_id
from zmqruntime.transport import Caller, WorkSummary

if TYPE_CHECKING:
    from zmqruntime.messages import Reply as ReplyMessage
    from zmqruntime.messages import WorkerInfo

__all__ = ["Dispatcher", "Transport"]

_log = logging.getLogger("zmqruntime.server")

_EVENTS: dict[type[Request], Callable[[Any, Caller], Event]] = {
    StatusRequest: StatusRequested,
    CancelRequest: CancelRequested,
    EventsRequest: EventsRequested,
}
# By name once: Python 3.11 looks members of an enum up slowly.
_RUNNING, _CANCELLED = ExecutionStatus.RUNNING, ExecutionStatus.CANCELLED
_TASK_ENDS = frozenset({TaskReturned, TaskRaised, TaskStopped})
_RETRIES_COMMIT = frozenset({Submitted, TimerDue})


class Transport(Protocol):
    """The transport of a dispatcher: a session with sockets, or a fake without."""

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        """Send the encoded reply to one request."""

    def send_composed_reply(self, caller: Caller, compose: Callable[[], bytes]) -> None:
        """Send a long reply, composed when there is room for it; by default immediately."""
        self.send_reply(caller, compose())

    def publish_events(
        self, client_id: str, execution_id: str, events: Sequence[ExecutionEvent]
    ) -> None:
        """Publish events of one execution, in order, to its subscribers."""

    def exit(self, failure: str | None) -> None:
        """End the server; ``failure``: the reason of an end that was not requested."""

    def handled(self, event: Event) -> None:
        """Called after each event: the next deadline may have changed."""


class Dispatcher:
    """Drives one scheduler and one runner, without sockets, threads or locks.

    Args:
        scheduler: used by this dispatcher alone.
        runner: used by this dispatcher alone.
        transport: sends replies and publishes events.
        soon: schedules a callback for when all events that have arrived are handled, so that they
            share a commit; None: each event is committed on its own.
        later: schedules a callback a moment later, for changes with no pending reply; None: the
            same.
        wall: returns the time in Unix seconds, for records.
        monotonic: returns the time in seconds, for deadlines.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        runner: TaskRunner,
        transport: Transport,
        *,
        soon: Defer | None = None,
        later: Defer | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._transport = transport
        self._wall = wall
        self._monotonic = monotonic
        self._performers: dict[type[Effect], Callable[[Any], None]] = {
            Reply: lambda effect: transport.send_reply(effect.caller, effect.frame),
            LargeReply: lambda effect: transport.send_composed_reply(effect.caller, effect.compose),
            Publish: self._publish,
            AssignTask: lambda effect: runner.assign(
                effect.execution_id, effect.request, *_optional(effect.slot)
            ),
            InterruptTask: lambda effect: runner.interrupt(
                effect.execution_id, *_optional(effect.slot)
            ),
            KillWorker: lambda effect: runner.kill_worker(*_optional(effect.slot)),
            StartWorker: lambda effect: runner.start_worker(*_optional(effect.slot)),
            ForgetLog: lambda effect: runner.forget_log(effect.execution_id),
            LogCancelled: _log_cancelled,
            Exit: lambda effect: transport.exit(effect.failure),
        }
        self._group_commit: GroupCommit | None = None
        if scheduler.engine.durable:  # Otherwise nothing is committed, and no effect is held.
            self._group_commit = GroupCommit(
                scheduler.engine,
                perform=self._perform,
                on_failed=self._on_commit_failed,
                on_recovered=self.wake,
                soon=soon,
                later=later,
            )

    @property
    def ready(self) -> bool:
        """Whether a task submitted now would start, or wait only for others."""
        return self._scheduler.ready

    @property
    def next_deadline(self) -> float | None:
        """When, on the monotonic clock, `wake` is due."""
        return self._scheduler.next_deadline

    def start(self) -> None:
        """Perform what has to be done before the first event."""
        # The end of one execution and the start of the next may be committed together, so several
        # may be found running: the last one started is the one that was interrupted.
        last = max(self._scheduler.engine.list_running(), key=_started_at, default=None)
        self._runner.sweep_logs(self._has_log, last.execution_id if last is not None else None)
        effects = self._scheduler.start(self._now())
        if self._group_commit is None:
            for effect in effects:
                self._perform(effect)
        else:
            self._group_commit.add(effects)
            self._group_commit.commit()
        self._transport.handled(TimerDue())

    def close(self) -> None:
        """Clean up after the last event, when the runner is closed, and close the engine.

        Raises:
            CommitFailed: the last changes are lost.
        """
        engine = self._scheduler.engine
        try:
            self._runner.sweep_logs(self._has_log if engine.durable else _no_log)
        finally:
            engine.close()

    def handle(self, event: Event) -> None:
        """Perform the effects of an event, each when the changes before it are committed."""
        effects = self._scheduler.handle(event, Now(self._wall(), self._monotonic()))
        if self._group_commit is None:
            performers = self._performers
            for effect in effects:
                performers[type(effect)](effect)
        else:
            kind = type(event)
            self._group_commit.add_event(
                effects, is_end=kind in _TASK_ENDS, may_retry=kind in _RETRIES_COMMIT
            )
        self._transport.handled(event)

    def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> bool:
        """Handle a request about executions; return False for any other one.

        ``frame``: the received frame of ``request``, which the worker gets; empty for a request
        that has none, or was changed since.
        """
        if isinstance(request, (ExecuteRequest, UnparsedExecute)):
            self.handle(Submitted(request, caller, frame))
        elif (make_event := _EVENTS.get(type(request))) is not None:
            self.handle(make_event(request, caller))
        elif isinstance(request, LogTailRequest):
            self._send_log_tail(request, caller)
        else:
            return False
        return True

    def shut_down(self, mode: ShutdownMode, *, forced: bool = False) -> None:
        """Begin the shutdown; ``forced`` skips the grace period."""
        self.handle(ShutdownRequested(mode, forced=forced))

    def wake(self) -> None:
        """Handle the deadlines that have passed."""
        self.handle(TimerDue())

    def describe_work(self, limit: int) -> WorkSummary:
        """Return the part of a pong about executions, up to ``limit`` of each kind, and workers."""
        scheduler = self._scheduler
        engine = scheduler.engine
        queued_count = engine.queued_count
        running = engine.list_running()[:limit] if limit else ()
        queued = engine.list_queued(limit).entries if limit and queued_count else ()
        workers: tuple[WorkerInfo, ...] = ()
        for slot in scheduler.slots:
            workers += self._runner.describe(slot.execution_id, *_optional(slot.id))
        return WorkSummary(
            running_executions=tuple([e.to_running_info() for e in running]),
            queued_executions=tuple([e.to_queued_info(place) for place, e in queued]),
            running_count=engine.counts[_RUNNING],
            queued_count=queued_count,
            workers=workers,
            durable=engine.durable,
            worker_error=scheduler.worker_error,
        )

    def _perform(self, effect: Effect) -> None:
        self._performers[type(effect)](effect)

    def _now(self) -> Now:
        return Now(self._wall(), self._monotonic())

    def _on_commit_failed(self, held: list[Effect]) -> None:
        assert self._group_commit is not None
        self._group_commit.add(self._scheduler.commit_failed(held, self._now()))
        self._transport.handled(TimerDue())

    def _publish(self, effect: Publish) -> None:
        self._transport.publish_events(effect.client_id, effect.execution_id, effect.events)
        logs_all = _log.isEnabledFor(logging.DEBUG)
        for event in effect.events:
            if not isinstance(event, StateChange):
                continue
            # Executions cancelled with an error are those of a whole queue: see `LogCancelled`.
            if logs_all or (event.error and event.status is not _CANCELLED):
                _log_state(effect.execution_id, event)

    def _send_log_tail(self, request: LogTailRequest, caller: Caller) -> None:
        from zmqruntime.messages import LogReply  # Keeps it out of the server's start.

        execution_id = request.execution_id
        reply: ReplyMessage = unknown_execution(execution_id)
        if self._scheduler.engine.get(execution_id) is not None:
            tail, size = self._runner.read_log(execution_id, request.max_bytes)
            text = tail.decode("utf-8", "replace")
            reply = LogReply(execution_id=execution_id, text=text, size_bytes=size)
        self._transport.send_reply(caller, encode_with_id(reply, caller.request_id))

    def _has_log(self, execution_id: str) -> bool:
        execution = self._scheduler.engine.get(execution_id)
        return execution is not None and not execution.result_dropped


def _optional(slot: int) -> tuple[int, ...]:
    """Return a runner's argument for a slot; a runner for one slot may not have the parameter."""
    return (slot,) if slot else ()


def _no_log(_: str) -> bool:
    return False


def _started_at(execution: Execution) -> float:
    return execution.started_at or 0.0


def _log_cancelled(effect: LogCancelled) -> None:
    _log.info("cancelling %d queued executions: %s", effect.count, effect.reason)


def _log_state(execution_id: str, change: StateChange) -> None:
    """Log a state change: an error as INFO, otherwise as DEBUG."""
    is_usual = change.error is None or change.status is _CANCELLED
    level = logging.DEBUG if is_usual else logging.INFO
    # The text of a task is escaped here, since an application's handlers may not do that.
    reason = printable(f" ({change.error.kind}: {change.error.message})") if change.error else ""
    extra = {"execution_id": execution_id, "status": str(change.status)}
    _log.log(level, "execution %s is %s%s", execution_id, change.status, reason, extra=extra)
