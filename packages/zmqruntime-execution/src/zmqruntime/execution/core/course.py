"""The way of executions: one at a time to the worker, and each to its one end."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from zmqruntime.execution.core import answers
from zmqruntime.execution.core.chances import Chances
from zmqruntime.execution.core.effects import (
    AssignTask,
    Effect,
    ForgetLog,
    InterruptTask,
    KillWorker,
    StartWorker,
)
from zmqruntime.execution.core.events import (
    Now,
    ProgressReported,
    TaskRaised,
    TaskReturned,
    TaskStopped,
)
from zmqruntime.execution.core.speaker import Speaker
from zmqruntime.execution.core.supervisor import Supervisor, WorkerState
from zmqruntime.execution.core.timers import Timers
from zmqruntime.execution.core.waiting import WaitingCaller
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.retry import make_attempt
from zmqruntime.messages import ExecutionErrorInfo, ExecutionStatus, ShutdownMode

__all__ = ["Alarm", "Course", "Deadlines", "Retry"]

# By name once: Python 3.11 looks members of an enum up slowly.
_COMPLETE, _FAILED, _CANCELLED = (
    ExecutionStatus.COMPLETE,
    ExecutionStatus.FAILED,
    ExecutionStatus.CANCELLED,
)
_LAG_SECONDS: Final = 1.0
# Each such try ends one worker, perhaps by the request itself, which a worker decodes before it
# begins. One that is ended from outside, as by the kernel for lack of memory, is rarer than that.
_MOST_FALSE_STARTS: Final = 5
_NO_FALSE_STARTS: Final[tuple[str, int, int]] = ("", 0, 0)

_IDLE, _BUSY = WorkerState.IDLE, WorkerState.BUSY


class Alarm(StrEnum):
    """What a scheduler itself waits for."""

    GRACE = "a task that was told to stop has had its time"
    RESTART = "a worker that failed to start is tried again"
    TASK_TIME = "a task has run as long as it may"
    COMMIT = "what could not be written is tried again"
    LAG = "what may be written later has waited to be written with something else"
    MORE = "what was too much for one round of the loop goes on in the next one"


class Retry(NamedTuple):
    """An execution waits until it is tried again."""

    execution_id: str


Deadlines = Timers[Alarm | Retry | WaitingCaller]
"""All that a scheduler waits for."""


class Course:
    """Brings each execution to the worker in its turn, and to its end, however that comes.

    Args:
        engine: keeps the executions.
        timers: wakes the scheduler.
        speaker: tells of what happens.
        chances: says what is tried again.
        grace: how long a task that was told to stop may take, in seconds.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        timers: Deadlines,
        speaker: Speaker,
        chances: Chances,
        grace: float,
    ) -> None:
        self.perform: Callable[[Effect], None]
        """Does one effect."""
        self.worker = Supervisor()
        self.current: Execution | None = None
        """What runs."""
        self.shutdown: ShutdownMode | None = None
        """How the server is to end, if it is."""
        self.leaves_queue = False
        """Whether the server ends at once, with executions still queued in memory."""
        self._engine = engine
        self._timers = timers
        self._speaker = speaker
        self._chances = chances
        self._grace = grace
        self._stop_error: ExecutionErrorInfo | None = None
        self._abandoned: str | None = None
        self._false_starts = _NO_FALSE_STARTS
        """The execution and the attempt that workers did not begin, and how many in a row."""

    @property
    def current_id(self) -> str | None:
        """The execution that runs."""
        return self.current.execution_id if self.current else None

    @property
    def is_stopping(self) -> bool:
        """Whether the running task was told to stop, for whatever reason."""
        return self.current is not None and (
            self.current.cancel_requested or self._stop_error is not None
        )

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do in this server's life."""
        return (
            self.shutdown is not None
            and self.current is None
            and (self._engine.durable or self.leaves_queue or not self._engine.queued_count)
        )

    # -- a run ----------------------------------------------------------------------------------

    def start_next(self, now: Now) -> None:
        """Give the worker the next execution, if it is idle and there is one."""
        if (execution := self.take_next(now)) is not None:
            self.assign(execution, now)

    def take_next(self, now: Now) -> Execution | None:
        """Move the next execution to running, if it can begin; `assign` gives it to the worker."""
        if self.current is not None or self.worker.state is not _IDLE:
            return None
        if self.shutdown is not None and (self.shutdown is ShutdownMode.NOW or self.is_done):
            return None
        execution = self._engine.peek()
        if execution is None or not self._engine.available:
            return None
        self.worker.state = _BUSY
        self.current = self._engine.start(execution.execution_id, now.wall)
        return execution

    def assign(self, execution: Execution, now: Now) -> None:
        """Give the idle worker what `take_next` has returned."""
        self.perform(AssignTask(execution.execution_id, execution.request))
        self.see_to_what_lags(now)
        self._speaker.publish_state(execution, now)
        if execution.timeout_seconds is not None:
            self._timers.set(Alarm.TASK_TIME, now.monotonic + execution.timeout_seconds)

    def take_back(self, now: Now, *, is_kept: bool) -> None:
        """Let what was to run wait again, if it is still kept: the worker was not told of it."""
        execution = self.let_go()
        self.worker.rest()
        if is_kept and execution.cancel_requested:
            self.end(execution, _CANCELLED, now)
        elif is_kept:
            self._engine.requeue(execution.execution_id)
            self._speaker.publish_state(execution, now)

    def take_back_unbegun(self, exit_code: int | None, now: Now) -> None:
        """Let what was assigned wait again, at the head: its worker ended before it began it."""
        execution = self.current
        assert execution is not None
        is_left_out = self.shutdown is ShutdownMode.NOW and not self._engine.durable
        if execution.cancel_requested or is_left_out:
            self.end_stopped(now)
            return
        execution_id, attempt = execution.execution_id, execution.attempt
        count = 1
        if self._false_starts[:2] == (execution_id, attempt):
            count += self._false_starts[2]
        self._false_starts = (execution_id, attempt, count)
        self.let_go()
        if count >= _MOST_FALSE_STARTS:
            self.end(execution, _FAILED, now, error=answers.never_begun(count, exit_code))
            return
        self._engine.requeue(execution_id)
        self._speaker.publish_state(execution, now)

    def abandon(self) -> None:
        """End what runs at once: it is not kept, and its caller is told so."""
        self._abandoned = self.let_go().execution_id
        self.kill_worker()

    def forget_abandoned(self) -> None:
        """Drop what it wrote until its worker ended, too."""
        if self._abandoned is not None:
            self.perform(ForgetLog(self._abandoned))
            self._abandoned = None

    def keep_progress(self, event: ProgressReported, now: Now) -> None:
        """Take what the running task reports."""
        execution = self.current
        if execution is None or execution.execution_id != event.execution_id:
            return  # From a process that the task left behind: its execution has ended.
        reports = self._engine.keep_progress(event.execution_id, event.bodies, now.wall)
        self.see_to_what_lags(now)
        self._speaker.publish(execution, reports)

    def end_task(self, event: TaskReturned | TaskRaised | TaskStopped, now: Now) -> None:
        """Take how the running task has ended."""
        if self.current is None or event.execution_id != self.current.execution_id:
            return  # It was ended by force meanwhile.
        self.worker.rest()
        match event:
            case TaskReturned():
                self.end(self.let_go(), _COMPLETE, now, result=event.result)
            case TaskRaised():
                self.fail_current(event.error, now)
            case TaskStopped():
                self.end_stopped(now)

    def stop(self, error: ExecutionErrorInfo | None, now: Now) -> None:
        """Tell the running task to stop; ``error`` is what it failed of, if not cancelled."""
        assert self.current is not None
        self._stop_error = error
        self.perform(InterruptTask(self.current.execution_id))
        self._timers.set(Alarm.GRACE, now.monotonic + self._grace)

    def time_is_up(self, now: Now) -> None:
        """Stop the running task: it has run as long as it may."""
        if self.current is not None and not self.is_stopping:
            self.stop(answers.timed_out(self.current.timeout_seconds or 0.0), now)

    # -- its end --------------------------------------------------------------------------------

    def end_stopped(self, now: Now) -> None:
        """End the running execution by the reason for which it was told to stop."""
        assert self.current is not None
        if self.current.cancel_requested:
            self.end(self.let_go(), _CANCELLED, now)
        else:
            self.fail_current(self._stop_error or answers.stopped_unasked(), now)

    def fail_current(self, error: ExecutionErrorInfo, now: Now) -> None:
        """End the running execution with an error, unless it is to be tried again."""
        execution = self.let_go()
        ends = self.shutdown is not None
        delay = self._chances.delay(execution, error, server_ends=ends)
        if self.shutdown is ShutdownMode.NOW and not self._engine.durable:
            delay = None  # Nobody will be there.
        self._fail(execution, error, delay, now)

    def recover(self, execution: Execution, now: Now) -> None:
        """Go on with an execution that ran when its server died."""
        if execution.cancel_requested:
            self.end(execution, _CANCELLED, now)
            return
        error = answers.died_during()
        delay = self._chances.delay(execution, error, server_ends=True)
        self._fail(execution, error, delay, now)

    def end(
        self,
        execution: Execution,
        status: ExecutionStatus,
        now: Now,
        *,
        result: bytes | None = None,
        error: ExecutionErrorInfo | None = None,
    ) -> None:
        """Move an execution to its terminal state."""
        if execution.retry_at is not None:
            self._timers.cancel(Retry(execution.execution_id))
        if self._false_starts[0] == execution.execution_id:
            self._false_starts = _NO_FALSE_STARTS  # The id may be given again, once forgotten.
        self._engine.finish(execution.execution_id, status, now.wall, result=result, error=error)
        speaker = self._speaker
        speaker.publish_state(execution, now)
        # The worker's next task first: it works while everybody is told of the last one.
        self.start_next(now)
        if speaker.answer_waiting(execution):
            self._timers.set(Alarm.MORE, now.monotonic)

    def let_go(self) -> Execution:
        """Let nothing run, and return what did."""
        assert self.current is not None
        execution, self.current = self.current, None
        if execution.timeout_seconds is not None:
            self._timers.cancel(Alarm.TASK_TIME)
        if execution.cancel_requested or self._stop_error is not None:
            self._timers.cancel(Alarm.GRACE)
        self._stop_error = None
        return execution

    def see_to_what_lags(self, now: Now) -> None:
        """Have what is written later written in a second."""
        if self._engine.lags and Alarm.LAG not in self._timers:
            self._timers.set(Alarm.LAG, now.monotonic + _LAG_SECONDS)

    def _fail(
        self, execution: Execution, error: ExecutionErrorInfo, delay: float | None, now: Now
    ) -> None:
        """End an execution with an error; or try it again, when there is a delay for that."""
        if delay is None:
            self.end(execution, _FAILED, now, error=error)
            return
        failed = make_attempt(execution, error, now.wall)
        retry_at = now.wall + delay if delay else None
        self._engine.requeue(execution.execution_id, failed=failed, retry_at=retry_at)
        if delay:
            self._timers.set(Retry(execution.execution_id), now.monotonic + delay)
        self._speaker.publish_state(execution, now)

    # -- the worker -----------------------------------------------------------------------------

    def start_worker(self) -> None:
        """Have a worker started."""
        self.worker.state = WorkerState.STARTING
        self.perform(StartWorker())

    def kill_worker(self) -> None:
        """Have the worker ended, whatever it does."""
        self.worker.state = WorkerState.ENDING
        self.perform(KillWorker())
