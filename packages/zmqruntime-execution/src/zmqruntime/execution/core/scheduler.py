"""The scheduler: every rule of the queue and of an execution's life.

Events go in, effects come out. Their order is a promise: a task to its worker before a held reply,
a reply before an event. One event costs a logarithm of what is kept: work on more executions than
`SLICE` continues in later rounds of the loop, each as a `TimerDue`. The scheduler has no socket,
thread or clock, so each rule is tested by calling `Scheduler.handle`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence

from zmqruntime.execution.core.effects import Effect, Exit, LogCancelled
from zmqruntime.execution.core.event_log import EventLog
from zmqruntime.execution.core.events import (
    CancelRequested,
    Event,
    EventsRequested,
    Now,
    ProgressReported,
    ShutdownRequested,
    StatusRequested,
    Submitted,
    TaskRaised,
    TaskReturned,
    TaskStopped,
    TimerDue,
    WorkerExited,
    WorkerReady,
)
from zmqruntime.execution.core.pending_replies import PendingReply
from zmqruntime.execution.core.replies import NameLog, journal_unavailable
from zmqruntime.execution.core.request_handlers import RequestHandlers
from zmqruntime.execution.core.responder import SLICE, Responder
from zmqruntime.execution.core.rollback import find_assigned, keep_effects
from zmqruntime.execution.core.slot import WorkerSlot
from zmqruntime.execution.core.slot_manager import SlotManager
from zmqruntime.execution.core.timers import (
    Deadlines,
    Retry,
    SchedulerTimer,
    SlotDeadline,
    SlotTimer,
    Timers,
)
from zmqruntime.execution.lifecycle import failures
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.retry import FailurePolicy, RestartPolicy, RetryPolicy
from zmqruntime.messages import ExecutionErrorInfo, ExecutionStatus, ShutdownMode

__all__ = ["Scheduler"]

_COMMIT_RETRY_SECONDS = 1.0
_MAX_WORKER_ERROR = 2000


class Scheduler:
    """Queues executions, runs them on worker slots, and replies to requests about them.

    Args:
        engine: keeps the executions.
        max_queued: how many executions may be queued; None: any number.
        max_queued_bytes: how many bytes their requests may have together; None: any number.
        cancel_grace_seconds: how long an interrupted task may take to end before its worker is
            killed.
        retry: the default for executions whose request does not set it.
        on_restart: what becomes of a running execution when a server with a journal ends.
        make_id: returns a new id, for an execution that its client has not named.
        events: buffers events for subscribers that missed some.
        name_log: returns the log file of an execution; None where output is not captured.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        *,
        max_queued: int | None = None,
        max_queued_bytes: int | None = None,
        cancel_grace_seconds: float = 5.0,
        retry: RetryPolicy | None = None,
        on_restart: RestartPolicy = RestartPolicy.FAIL,
        make_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        events: EventLog | None = None,
        name_log: NameLog = lambda _: None,
    ) -> None:
        self.engine = engine
        self._timers: Deadlines = Timers()
        self._effects: list[Effect] = []
        """The decisions of the event at hand; its parts append to it, `_finish` clears it."""
        log = EventLog() if events is None else events
        self._responder = Responder(engine, self._timers, self._effects, log, name_log)
        policy = FailurePolicy(retry or RetryPolicy(), on_restart)
        self._manager = SlotManager(
            engine, self._timers, self._effects, self._responder, policy, cancel_grace_seconds
        )
        self.slots: Sequence[WorkerSlot] = self._manager.slots
        """The worker slots, by id; not to be changed."""
        self._requests = RequestHandlers(
            engine, self._manager, self._responder, max_queued, max_queued_bytes, make_id
        )
        self._failure: str | None = None
        self._cancels_queue: ExecutionErrorInfo | None = None
        """Why all queued executions are being cancelled, if they are."""
        self._fails_queue: ExecutionErrorInfo | None = None
        """Why all queued executions are being failed, if they are."""
        self._forced = False
        self._has_exited = False

    @property
    def ready(self) -> bool:
        """Whether a task submitted now would start, or wait only for others."""
        if self._manager.shutdown is not None or not self.engine.available:
            return False
        for slot in self.slots:  # noqa: SIM110 - part of every pong: a generator costs more
            if slot.is_ready:
                return True
        return False

    @property
    def worker_error(self) -> str | None:
        """Why the last start of a worker has failed; None once one is ready."""
        for slot in self.slots:
            if slot.start_error is not None:
                return failures.shortened(slot.start_error, _MAX_WORKER_ERROR)
        return None

    @property
    def next_deadline(self) -> float | None:
        """When, on the monotonic clock, the next `TimerDue` is due."""
        return self._timers.next

    def start(self, now: Now) -> list[Effect]:
        """Return what has to be done before the first event: recovery and the first workers."""
        for execution in self.engine.list_running():
            self._manager.recover(execution, now)
        for execution in self.engine.list_delayed():
            delay = max(0.0, (execution.retry_at or 0.0) - now.wall)
            self._timers.set(Retry(execution.execution_id), now.monotonic + delay)
        for slot in self.slots:
            self._manager.start_worker(slot)
        return self._finish(now)

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Decide on one event, and return the effects in the order in which to perform them."""
        self._decide(event, now)
        return self._finish(now)

    def commit_failed(self, effects: list[Effect], now: Now) -> list[Effect]:
        """Roll back what the engine could not commit, and return what is still to be done.

        New submits are rejected, also those that have just begun, and no further task starts. Ended
        executions are published, and committed later.

        Args:
            effects: the effects that were held until the commit.
            now: the present.
        """
        rolled_back = self.engine.rollback()
        names = {execution.execution_id for execution in rolled_back}
        unassigned = find_assigned(effects)
        error_reply = journal_unavailable()
        self._has_exited = False  # An exit is decided anew, behind the effects of the rollback.
        self._effects += keep_effects(effects, names, unassigned, error_reply)
        for execution in rolled_back:
            self._timers.cancel(Retry(execution.execution_id))  # It may have begun, and failed.
            self._responder.reject_held(execution, error_reply)
        for slot in self.slots:
            if slot.execution_id in unassigned:
                self._manager.unassign(slot, now, is_kept=slot.execution_id not in names)
            elif slot.execution_id in names:
                self._manager.discard(slot)
        self._timers.set(SchedulerTimer.COMMIT, now.monotonic + _COMMIT_RETRY_SECONDS)
        return self._finish(now)

    def _finish(self, now: Now) -> list[Effect]:
        """Run the next execution, or exit if all is done; return all effects, events last."""
        manager = self._manager
        if manager.shutdown is not None and manager.is_done:
            self._exit(now)
        else:
            manager.run_next(now)
        if self.engine.has_excess:
            self._timers.set(SchedulerTimer.SLICE, now.monotonic)
        self._responder.flush()
        effects = self._effects.copy()
        self._effects.clear()
        return effects

    def _decide(self, event: Event, now: Now) -> None:
        # Frequent events first.
        match event:
            case ProgressReported():
                self._manager.keep_progress(event, now)
            case Submitted():
                self._requests.submit(event, now)
            case TaskReturned() | TaskRaised() | TaskStopped():
                self._manager.end_task(event, now)
            case StatusRequested():
                self._requests.status(event, now)
                self._manager.commit_later(now)  # Sending a record may evict others.
            case CancelRequested():
                self._requests.cancel(event, now)
            case TimerDue():
                self._on_timer(now)
            case WorkerReady():
                self.slots[event.slot].mark_ready()
                self._fails_queue = None
            case WorkerExited():
                self._on_worker_exit(event, now)
            case EventsRequested():
                self._requests.kept_events(event)
            case ShutdownRequested():
                self._shut_down(event, now)

    # -- workers and timers -----------------------------------------------------------------------

    def _on_worker_exit(self, event: WorkerExited, now: Now) -> None:
        manager, slot = self._manager, self.slots[event.slot]
        slot.mark_ending()
        manager.forget_discarded(slot)
        for unread in event.last:
            self._decide(unread, now)
        reason = failures.worker_not_ready(event.exit_code, event.message)
        delay = slot.mark_exited(reason)
        if delay is None:
            self._failure = reason
            manager.shutdown = ShutdownMode.NOW
            self._cancel_restarts()
            self._cancel_queue(failures.no_worker_before_exit(), now)
            return
        if slot.execution is not None and not event.has_begun:
            manager.requeue_unbegun(slot, event.exit_code, now)
        elif slot.is_interrupted:
            manager.end_interrupted(slot, now)
        elif slot.execution is not None:
            manager.fail(slot, failures.worker_died(event.exit_code), now)
        if manager.is_done or manager.shutdown is ShutdownMode.NOW:
            return
        if delay:
            self._timers.set(SlotDeadline(slot.id, SlotTimer.RESTART), now.monotonic + delay)
        else:
            manager.start_worker(slot)
        if all(slot.is_failing for slot in self.slots):
            self._fails_queue = failures.no_worker(slot.failed_starts, reason)
            self._fail_some(now)
            self._continue_later(now)

    def _on_timer(self, now: Now) -> None:
        due_now = self._timers.take_due(now.monotonic, SLICE)
        # Long polls expire last: their replies include what the other timers have changed.
        for due in sorted(due_now, key=lambda due: isinstance(due, PendingReply)):
            match due:
                case SlotDeadline():
                    self._on_slot_timer(self.slots[due.slot], due.timer, now)
                case Retry(execution_id):
                    self.engine.release(execution_id)
                case PendingReply():
                    self._manager.run_next(now)
                    self._responder.expire(due)
                case SchedulerTimer.LAG:
                    self.engine.catch_up()
                case SchedulerTimer.COMMIT:
                    pass  # The dispatcher commits behind each `TimerDue`.
                case SchedulerTimer.SLICE:
                    self._continue(now)

    def _on_slot_timer(self, slot: WorkerSlot, timer: SlotTimer, now: Now) -> None:
        match timer:
            case SlotTimer.GRACE:
                self._manager.kill_worker(slot)
            case SlotTimer.RESTART:
                self._manager.start_worker(slot)
            case SlotTimer.TIMEOUT:
                self._manager.time_out(slot, now)

    def _cancel_restarts(self) -> None:
        for slot in self.slots:
            self._timers.cancel(SlotDeadline(slot.id, SlotTimer.RESTART))

    # -- work in slices ---------------------------------------------------------------------------

    def _continue(self, now: Now) -> None:
        """Handle one slice of everything that is left over from earlier rounds."""
        self.engine.evict_more(now.wall)
        self._cancel_some(now)
        self._fail_some(now)
        self._responder.send_backlog()
        self._continue_later(now)

    def _continue_later(self, now: Now) -> None:
        """Set a timer for the next round of the loop, if anything is left over."""
        if self._forced and not self._responder.list_awaited(1):
            self._manager.abandons_queue = True
        is_left = self._cancels_queue is not None and not self._manager.abandons_queue
        is_left = is_left or self._fails_queue is not None
        if self._responder.has_backlog or (is_left and self.engine.queued_count):
            self._timers.set(SchedulerTimer.SLICE, now.monotonic)

    def _fail_some(self, now: Now) -> None:
        """Fail one slice of the queue, if no worker can be started."""
        if self._fails_queue is None:
            return
        for _, execution in self.engine.list_queued(SLICE).entries:
            self._manager.end(execution, ExecutionStatus.FAILED, now, error=self._fails_queue)
        if not self.engine.queued_count:
            self._fails_queue = None

    def _cancel_queue(self, error: ExecutionErrorInfo, now: Now) -> None:
        """Begin to cancel the queue, unless it is in a journal for the next server."""
        if self.engine.durable or self._cancels_queue is not None:
            return
        self._cancels_queue = error
        self._responder.keeps_logs = True
        if count := self.engine.queued_count:
            self._effects.append(LogCancelled(count, error.message))
        self._cancel_some(now)
        self._continue_later(now)

    def _cancel_some(self, now: Now) -> None:
        """Cancel one slice of the queue; in a forced shutdown only what has held replies."""
        if self._cancels_queue is None:
            return
        queued: Iterable[Execution | None]
        if self._forced:
            queued = map(self.engine.get, self._responder.list_awaited(SLICE))
        else:
            queued = (execution for _, execution in self.engine.list_queued(SLICE).entries)
        for execution in queued:
            if execution is not None and execution.status is ExecutionStatus.QUEUED:
                self._manager.end(
                    execution, ExecutionStatus.CANCELLED, now, error=self._cancels_queue
                )

    # -- the end of the server --------------------------------------------------------------------

    def _shut_down(self, event: ShutdownRequested, now: Now) -> None:
        manager = self._manager
        if manager.shutdown is not ShutdownMode.NOW:
            manager.shutdown = event.mode
        if event.mode is not ShutdownMode.NOW:
            return
        self._cancel_restarts()
        for slot in self.slots:
            if slot.execution is not None and not slot.is_interrupted:
                manager.interrupt(slot, failures.interrupted_by_shutdown(), now)
        self._cancel_queue(failures.shut_down_while_queued(), now)
        if event.forced:
            self._forced = True
            for slot in self.slots:
                if slot.execution is not None:
                    manager.kill_worker(slot)
                    manager.end_interrupted(slot, now)
            self._continue_later(now)

    def _exit(self, now: Now) -> None:
        """Exit when all held replies are sent, with the present state of what stays queued."""
        self._responder.release_all()
        self._responder.send_backlog()
        self._responder.flush()
        if self._responder.has_backlog:
            self._continue_later(now)
            return
        if not self._has_exited:
            self._has_exited = True
            self._cancel_restarts()  # The last execution may have ended during the backoff.
            self._effects.append(Exit(self._failure))
