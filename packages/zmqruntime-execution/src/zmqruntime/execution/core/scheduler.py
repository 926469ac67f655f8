"""The scheduler: every rule of the queue and of an execution's life, and nothing else.

Events go in, effects come out: each as soon as it is decided, what somebody waits for before
what others may read. One event costs a logarithm of what is kept, whatever that is: work on more
executions than `SLICE` goes on in later rounds of the loop, each as a `TimerDue`. There is no
socket, no thread and no clock in here, so each rule can be tested by calling `Scheduler.handle`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable

from zmqruntime.execution.core import answers
from zmqruntime.execution.core.chances import Chances, RestartPolicy
from zmqruntime.execution.core.commits import assigned_in, what_is_left
from zmqruntime.execution.core.course import Alarm, Course, Deadlines, Retry
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
from zmqruntime.execution.core.frames import NameLog
from zmqruntime.execution.core.reception import Reception
from zmqruntime.execution.core.speaker import SLICE, Speaker
from zmqruntime.execution.core.timers import Timers
from zmqruntime.execution.core.waiting import WaitingCaller
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.retry import RetryPolicy
from zmqruntime.messages import ExecutionErrorInfo, ExecutionStatus, ShutdownMode

__all__ = ["Scheduler"]

_COMMIT_AGAIN_SECONDS = 1.0
_MAX_WORKER_ERROR = 2000


class Scheduler:
    """Queues executions, runs one at a time, and answers for each of them.

    Args:
        engine: keeps the executions.
        max_queued: how many may wait; further ones are refused. None: any number.
        max_queued_bytes: how many bytes their requests may have together; None: any number.
        cancel_grace_seconds: how long a task that was told to stop may take before its worker
            is ended.
        retry: for executions that do not say it themselves.
        on_restart: what becomes of what runs when a server with a durable engine ends.
        make_id: names the executions that their clients do not name.
        events: keeps the latest events for those who missed some.
        name_log: tells where the output of an execution goes; None: nowhere.
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
        self._perform: Callable[[Effect], None]
        self._timers: Deadlines = Timers()
        log = EventLog() if events is None else events
        self._speaker = Speaker(engine, self._timers, log, name_log)
        chances = Chances(retry or RetryPolicy(), on_restart)
        self._course = Course(engine, self._timers, self._speaker, chances, cancel_grace_seconds)
        self._reception = Reception(
            engine, self._course, self._speaker, max_queued, max_queued_bytes, make_id
        )
        self._failure: str | None = None
        self._cancels_queue: ExecutionErrorInfo | None = None
        """Why everything queued is being cancelled, if it is."""
        self._fails_queue: ExecutionErrorInfo | None = None
        """Why everything queued is being failed, if it is."""
        self._forced = False
        self._left = False

    @property
    def ready(self) -> bool:
        """Whether a task submitted now would start, or wait only for others."""
        course = self._course
        return course.shutdown is None and course.worker.is_there and self.engine.available

    @property
    def worker_error(self) -> str | None:
        """Why the last start of a worker has failed; None once one is ready."""
        error = self._course.worker.error
        return None if error is None else answers.shorten(error, _MAX_WORKER_ERROR)

    @property
    def next_deadline(self) -> float | None:
        """When, on the monotonic clock, a `TimerDue` is wanted."""
        return self._timers.next

    @property
    def current_id(self) -> str | None:
        """The execution that runs."""
        return self._course.current_id

    def start(self, perform: Callable[[Effect], None], now: Now) -> None:
        """Do what has to be done before the first event.

        Args:
            perform: does one effect, or sees to it that it is done; it calls nothing in here.
            now: the present.
        """
        self._perform = self._speaker.perform = self._course.perform = perform
        for execution in self.engine.list_running():
            self._course.recover(execution, now)
        for execution in self.engine.list_delayed():
            delay = max(0.0, (execution.retry_at or 0.0) - now.wall)
            self._timers.set(Retry(execution.execution_id), now.monotonic + delay)
        self._course.start_worker()
        self._speaker.flush()

    def handle(self, event: Event, now: Now) -> None:
        """Take one event and have done what follows."""
        self._take(event, now)
        self._go_on(now)
        self._speaker.flush()
        if self.engine.has_excess:
            self._timers.set(Alarm.MORE, now.monotonic)

    def commit_failed(self, effects: list[Effect], now: Now) -> None:
        """Take back what the engine could not commit, and have done what is still to be done.

        What was submitted meanwhile is refused, also when it has just begun, and no further task
        starts. What has ended is told, and committed later.

        Args:
            effects: what was to be done after the commit.
            now: the present.
        """
        refused = self.engine.withdraw()
        withdrawn = {execution.execution_id for execution in refused}
        unassigned = assigned_in(effects)
        refusal = answers.not_written()
        self._left = False  # An exit comes again, behind what is told here.
        for effect in what_is_left(effects, withdrawn, unassigned, refusal):
            self._perform(effect)
        for execution in refused:
            self._timers.cancel(Retry(execution.execution_id))  # It may have begun, and failed.
            self._speaker.refuse_waiting(execution, refusal)
        if self.current_id in unassigned:
            self._course.take_back(now, is_kept=self.current_id not in withdrawn)
        elif self.current_id in withdrawn:
            self._course.abandon()
        self._timers.set(Alarm.COMMIT, now.monotonic + _COMMIT_AGAIN_SECONDS)
        self._go_on(now)
        self._speaker.flush()

    def _take(self, event: Event, now: Now) -> None:
        # What comes often comes first.
        match event:
            case ProgressReported():
                self._course.keep_progress(event, now)
            case Submitted():
                self._reception.submit(event, now)
            case TaskReturned() | TaskRaised() | TaskStopped():
                self._course.end_task(event, now)
            case StatusRequested():
                self._reception.tell_status(event, now)
                self._course.see_to_what_lags(now)  # What was read may have left history.
            case CancelRequested():
                self._reception.cancel(event, now)
            case TimerDue():
                self._on_time(now)
            case WorkerReady():
                self._course.worker.ready()
                self._fails_queue = None
            case WorkerExited():
                self._on_worker_exit(event, now)
            case EventsRequested():
                self._reception.tell_events(event)
            case ShutdownRequested():
                self._shut_down(event, now)

    # -- the worker and the clock -----------------------------------------------------------------

    def _on_worker_exit(self, event: WorkerExited, now: Now) -> None:
        course = self._course
        course.worker.leaves()
        course.forget_abandoned()
        for told in event.last:
            self._take(told, now)
        reason = answers.never_ready(event.exit_code, event.message)
        delay = course.worker.exited(reason)
        if delay is None:
            self._failure = reason
            course.shutdown = ShutdownMode.NOW
            self._timers.cancel(Alarm.RESTART)
            self._cancel_queue(answers.never_started(), now)
            return
        if course.current is not None and not event.has_begun:
            course.take_back_unbegun(event.exit_code, now)
        elif course.is_stopping:
            course.end_stopped(now)
        elif course.current is not None:
            course.fail_current(answers.worker_died(event.exit_code), now)
        if course.is_done or course.shutdown is ShutdownMode.NOW:
            return
        if delay:
            self._timers.set(Alarm.RESTART, now.monotonic + delay)
        else:
            course.start_worker()
        if course.worker.is_hopeless:
            self._fails_queue = answers.no_worker(course.worker.failed_starts, reason)
            self._fail_some(now)
            self._continue_later(now)

    def _fail_some(self, now: Now) -> None:
        """Fail as many of the queued executions as one round may, when no worker can be started."""
        if self._fails_queue is None:
            return
        for _, execution in self.engine.list_queued(SLICE).entries:
            self._course.end(execution, ExecutionStatus.FAILED, now, error=self._fails_queue)
        if not self.engine.queued_count:
            self._fails_queue = None

    def _on_time(self, now: Now) -> None:
        due_now = self._timers.take_due(now.monotonic, SLICE)
        # Who has waited long enough is told how it is after all else that is due.
        for due in sorted(due_now, key=lambda due: isinstance(due, WaitingCaller)):
            match due:
                case Alarm.GRACE:
                    self._course.kill_worker()
                case Alarm.RESTART:
                    self._course.start_worker()
                case Alarm.TASK_TIME:
                    self._course.time_is_up(now)
                case Alarm.LAG:
                    self.engine.catch_up()
                case Alarm.MORE:
                    self.engine.evict_more(now.wall)
                    self._cancel_some(now)
                    self._fail_some(now)
                    self._speaker.answer_backlog()
                    self._continue_later(now)
                case Retry(execution_id):
                    self.engine.release(execution_id)
                case WaitingCaller():
                    self._course.start_next(now)
                    self._speaker.time_is_up(due)

    # -- the end --------------------------------------------------------------------------------

    def _shut_down(self, event: ShutdownRequested, now: Now) -> None:
        course = self._course
        if course.shutdown is not ShutdownMode.NOW:
            course.shutdown = event.mode
        if event.mode is not ShutdownMode.NOW:
            return
        self._timers.cancel(Alarm.RESTART)
        if course.current is not None and not course.is_stopping:
            course.stop(answers.shut_down_during(), now)
        self._cancel_queue(answers.shut_down_before(), now)
        if event.forced:
            self._forced = True
            if course.current is not None:
                course.kill_worker()
                course.end_stopped(now)
            self._continue_later(now)

    def _cancel_queue(self, error: ExecutionErrorInfo, now: Now) -> None:
        """Begin to cancel what is queued, unless the next server will find it."""
        if self.engine.durable or self._cancels_queue is not None:
            return
        self._cancels_queue = error
        self._speaker.leaves_logs = True
        if count := self.engine.queued_count:
            self._perform(LogCancelled(count, error.message))
        self._cancel_some(now)
        self._continue_later(now)

    def _cancel_some(self, now: Now) -> None:
        """Cancel as many of the queued executions as one round may; a forced end: the awaited."""
        if self._cancels_queue is None:
            return
        queued: Iterable[Execution | None]
        if self._forced:
            queued = map(self.engine.get, self._speaker.list_awaited(SLICE))
        else:
            queued = (execution for _, execution in self.engine.list_queued(SLICE).entries)
        for execution in queued:
            if execution is not None and execution.status is ExecutionStatus.QUEUED:
                self._course.end(
                    execution, ExecutionStatus.CANCELLED, now, error=self._cancels_queue
                )

    def _continue_later(self, now: Now) -> None:
        """Go on in the next round with what is left over from this one."""
        if self._forced and not self._speaker.list_awaited(1):
            self._course.leaves_queue = True
        is_left = self._cancels_queue is not None and not self._course.leaves_queue
        is_left = is_left or self._fails_queue is not None
        if self._speaker.has_backlog or (is_left and self.engine.queued_count):
            self._timers.set(Alarm.MORE, now.monotonic)

    def _go_on(self, now: Now) -> None:
        """Start the next execution if one can be started, or leave if all is done."""
        if self._course.shutdown is not None and self._course.is_done:
            self._leave(now)
        else:
            self._course.start_next(now)

    def _leave(self, now: Now) -> None:
        """End the server; who waits for what will run in the next one is told how it is now."""
        self._speaker.queue_all_waiting()
        self._speaker.answer_backlog()
        self._speaker.flush()
        if self._speaker.has_backlog:
            self._continue_later(now)
            return
        if not self._left:
            self._left = True
            self._timers.cancel(Alarm.RESTART)  # Its last execution may have ended in the delay.
            self._perform(Exit(self._failure))
