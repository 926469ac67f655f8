"""The scheduler's way to the world: requests become events, and effects are performed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from zmqruntime.execution.core import answers
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
from zmqruntime.execution.core.scheduler import Scheduler
from zmqruntime.execution.lifecycle.events import ExecutionEvent, StateChange
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.runner import TaskRunner
from zmqruntime.execution.server.group_commit import Committer, Defer
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

__all__ = ["Dispatcher", "Transport"]

_log = logging.getLogger("zmqruntime.server")

_EVENTS: dict[type[Request], Callable[[Any, Caller], Event]] = {
    StatusRequest: StatusRequested,
    CancelRequest: CancelRequested,
    EventsRequest: EventsRequested,
}
# By name once: Python 3.11 looks members of an enum up slowly.
_RUNNING, _CANCELLED = ExecutionStatus.RUNNING, ExecutionStatus.CANCELLED
_ENDS = frozenset({TaskReturned, TaskRaised, TaskStopped})
_WORTH_A_TRY = frozenset({Submitted, TimerDue})


class Transport(Protocol):
    """Carries replies and events to clients: over sockets, or in memory."""

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        """Send the one reply that ``caller`` is owed, encoded."""

    def send_composed_reply(self, caller: Caller, compose: Callable[[], bytes]) -> None:
        """Send a long reply, composed when there is room for it; at once, unless overridden."""
        self.send_reply(caller, compose())

    def publish_events(
        self, client_id: str, execution_id: str, events: Sequence[ExecutionEvent]
    ) -> None:
        """Send events of a client's execution, in order, to whoever subscribed to that."""

    def exit(self, failure: str | None) -> None:
        """End the server; ``failure`` says why, when nobody asked for it."""

    def handled(self, event: Event) -> None:
        """Take note that an event has been handled; the next deadline may be another."""


class Dispatcher:
    """Drives one scheduler and one runner. Holds no socket, no thread and no lock.

    Args:
        scheduler: nobody else uses it.
        runner: nobody else uses it.
        transport: delivers replies and events.
        soon: calls back when what has arrived together is handled, so that it is committed
            together; None: each event is committed by itself.
        later: calls back a moment later, for changes that nobody waits for; None: the same.
        wall: the time in Unix seconds, for records.
        monotonic: the time in seconds, for deadlines.
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
            AssignTask: lambda effect: runner.assign(effect.execution_id, effect.request),
            InterruptTask: lambda effect: runner.interrupt(effect.execution_id),
            KillWorker: lambda effect: runner.kill_worker(),
            StartWorker: lambda effect: runner.start_worker(),
            ForgetLog: lambda effect: runner.forget_log(effect.execution_id),
            LogCancelled: _log_cancelled,
            Exit: lambda effect: transport.exit(effect.failure),
        }
        self._committer: Committer | None = None
        if scheduler.engine.durable:  # Else nothing is committed, and nothing held back.
            self._committer = Committer(
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
        """When, on the monotonic clock, `wake` is wanted."""
        return self._scheduler.next_deadline

    def start(self) -> None:
        """Do what has to be done before the first event."""
        # At most one ran; but the end of one and the start of the next may be told together.
        ran = max(self._scheduler.engine.list_running(), key=_began, default=None)
        self._runner.sweep_logs(self._has_log, ran.execution_id if ran is not None else None)
        if (committer := self._committer) is None:
            self._scheduler.start(self._perform, self._now())
        else:
            self._scheduler.start(committer.take, self._now())
            committer.commit()
        self._transport.handled(TimerDue())

    def close(self) -> None:
        """Clean up after the last event, when the runner is closed, and give the engine back.

        Raises:
            CommitFailed: the last changes are lost.
        """
        engine = self._scheduler.engine
        try:
            self._runner.sweep_logs(self._has_log if engine.durable else _nothing)
        finally:
            engine.close()

    def handle(self, event: Event) -> None:
        """Have the scheduler take an event, and do what it wants done: once that is committed."""
        if (committer := self._committer) is None:
            self._scheduler.handle(event, self._now())
        else:
            kind = type(event)
            committer.begin_event(is_end=kind in _ENDS, is_worth_a_try=kind in _WORTH_A_TRY)
            self._scheduler.handle(event, self._now())
            committer.end_event()
        self._transport.handled(event)

    def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> bool:
        """Take a request about executions; return False for any other one.

        ``frame`` is what ``request`` was read from, and what the worker gets; empty for a request
        that came in none, or was changed since.
        """
        if isinstance(request, (ExecuteRequest, UnparsedExecute)):
            self.handle(Submitted(request, caller, frame))
        elif (make_event := _EVENTS.get(type(request))) is not None:
            self.handle(make_event(request, caller))
        elif isinstance(request, LogTailRequest):
            self._tell_log(request, caller)
        else:
            return False
        return True

    def shut_down(self, mode: ShutdownMode, *, forced: bool = False) -> None:
        """Begin to end; ``forced``: without any grace."""
        self.handle(ShutdownRequested(mode, forced=forced))

    def wake(self) -> None:
        """Do what has become due."""
        self.handle(TimerDue())

    def describe_work(self, limit: int) -> WorkSummary:
        """Return what a pong tells of executions, up to ``limit`` of each kind, and workers."""
        engine = self._scheduler.engine
        queued_count = engine.queued_count
        running = engine.list_running()[:limit] if limit else ()
        queued = engine.list_queued(limit).entries if limit and queued_count else ()
        return WorkSummary(
            running_executions=tuple([e.to_running_info() for e in running]),
            queued_executions=tuple([e.to_queued_info(place) for place, e in queued]),
            running_count=engine.counts[_RUNNING],
            queued_count=queued_count,
            workers=self._runner.describe(self._scheduler.current_id),
            durable=engine.durable,
            worker_error=self._scheduler.worker_error,
        )

    def _perform(self, effect: Effect) -> None:
        self._performers[type(effect)](effect)

    def _now(self) -> Now:
        return Now(self._wall(), self._monotonic())

    def _on_commit_failed(self, held: list[Effect]) -> None:
        self._scheduler.commit_failed(held, self._now())
        self._transport.handled(TimerDue())

    def _publish(self, effect: Publish) -> None:
        self._transport.publish_events(effect.client_id, effect.execution_id, effect.events)
        tells_all = _log.isEnabledFor(logging.DEBUG)
        for event in effect.events:
            if not isinstance(event, StateChange):
                continue
            # Cancelled with an error are those of a whole queue, which is logged as one.
            if tells_all or (event.error and event.status is not _CANCELLED):
                _tell_state(effect.execution_id, event)

    def _tell_log(self, request: LogTailRequest, caller: Caller) -> None:
        from zmqruntime.messages import LogReply  # Not above: a start needs none.

        execution_id = request.execution_id
        reply: ReplyMessage = answers.unknown(execution_id)
        if self._is_kept(execution_id):
            tail, size = self._runner.read_log(execution_id, request.max_bytes)
            text = tail.decode("utf-8", "replace")
            reply = LogReply(execution_id=execution_id, text=text, size_bytes=size)
        self._transport.send_reply(caller, encode_with_id(reply, caller.request_id))

    def _is_kept(self, execution_id: str) -> bool:
        return self._scheduler.engine.get(execution_id) is not None

    def _has_log(self, execution_id: str) -> bool:
        execution = self._scheduler.engine.get(execution_id)
        return execution is not None and not execution.result_dropped


def _nothing(_: str) -> bool:
    return False


def _began(execution: Execution) -> float:
    return execution.started_at or 0.0


def _log_cancelled(effect: LogCancelled) -> None:
    _log.info("cancelling %d queued executions: %s", effect.count, effect.reason)


def _tell_state(execution_id: str, change: StateChange) -> None:
    """Log the move of an execution: what does not go well, and on demand the rest."""
    is_usual = change.error is None or change.status is _CANCELLED
    level = logging.DEBUG if is_usual else logging.INFO
    # The task's own words, escaped also for handlers of an application, which may not do that.
    reason = printable(f" ({change.error.kind}: {change.error.message})") if change.error else ""
    extra = {"execution_id": execution_id, "status": str(change.status)}
    _log.log(level, "execution %s is %s%s", execution_id, change.status, reason, extra=extra)
