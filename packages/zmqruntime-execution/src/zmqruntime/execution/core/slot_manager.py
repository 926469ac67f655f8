"""Runs executions on worker slots and moves each to a terminal state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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
from zmqruntime.execution.core.responder import Responder
from zmqruntime.execution.core.slot import WorkerSlot, WorkerState
from zmqruntime.execution.core.timers import (
    Deadlines,
    Retry,
    SchedulerTimer,
    SlotDeadline,
    SlotTimer,
)
from zmqruntime.execution.lifecycle import failures
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.execution.lifecycle.retry import FailurePolicy, make_attempt
from zmqruntime.messages import ExecutionErrorInfo, ExecutionStatus, ShutdownMode

__all__ = ["SlotManager"]

# Module constants: access to an enum's members is slow in Python 3.11.
_COMPLETE, _FAILED, _CANCELLED = (
    ExecutionStatus.COMPLETE,
    ExecutionStatus.FAILED,
    ExecutionStatus.CANCELLED,
)
_IDLE, _BUSY = WorkerState.IDLE, WorkerState.BUSY

_LAG_SECONDS: Final = 1.0
# A request whose decoding crashes the worker causes a false start each time. Kills from outside, as
# by the out-of-memory killer, rarely hit so many workers in a row.
_MAX_FALSE_STARTS: Final = 5
_NO_FALSE_STARTS: Final[tuple[str, int, int]] = ("", 0, 0)


class SlotManager:
    """Assigns queued executions to idle slots, and ends, retries or requeues them.

    Args:
        engine: keeps the executions.
        timers: the scheduler's deadlines.
        effects: the decisions of the event at hand, in order; appended to.
        responder: publishes state changes and sends held replies.
        policy: decides which failed executions run again.
        grace: how long an interrupted task may take to end, in seconds.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        timers: Deadlines,
        effects: list[Effect],
        responder: Responder,
        policy: FailurePolicy,
        grace: float,
    ) -> None:
        self.slots: Sequence[WorkerSlot] = (WorkerSlot(0),)
        self.shutdown: ShutdownMode | None = None
        """The mode of the shutdown in progress, if any."""
        self.abandons_queue = False
        """Whether the server ends with executions still queued in memory."""
        self._engine = engine
        self._timers = timers
        self._effects = effects
        self._responder = responder
        self._policy = policy
        self._grace = grace
        self._false_starts = _NO_FALSE_STARTS
        """Execution id, attempt, and how many workers in a row have exited before they began it."""

    @property
    def is_done(self) -> bool:
        """Whether a server that is shutting down has nothing left to do."""
        return (
            self.shutdown is not None
            and all(slot.execution is None for slot in self.slots)
            and (self._engine.durable or self.abandons_queue or not self._engine.queued_count)
        )

    def find(self, execution_id: str) -> WorkerSlot | None:
        """Return the slot on which an execution runs."""
        return next((slot for slot in self.slots if slot.execution_id == execution_id), None)

    # -- assignment -----------------------------------------------------------------------------

    def run_next(self, now: Now) -> None:
        """Assign the next execution to an idle slot, if there are both."""
        if (slot := self.start_next(now)) is not None:
            self.assign(slot, now)

    def start_next(self, now: Now) -> WorkerSlot | None:
        """Move the next execution to running and return its slot, for `assign`; None: no start."""
        for slot in self.slots:
            if slot.state is _IDLE and slot.execution is None:
                break
        else:
            return None
        if self.shutdown is not None and (self.shutdown is ShutdownMode.NOW or self.is_done):
            return None
        execution = self._engine.peek()
        if execution is None or not self._engine.available:
            return None
        slot.state = _BUSY
        slot.execution = self._engine.start(execution.execution_id, now.wall)
        return slot

    def assign(self, slot: WorkerSlot, now: Now) -> None:
        """Assign the execution that `start_next` has moved to running."""
        execution = slot.execution
        assert execution is not None
        self._effects.append(AssignTask(execution.execution_id, execution.request, slot.id))
        self.commit_later(now)
        self._responder.publish_state(execution, now)
        if execution.timeout_seconds is not None:
            deadline = SlotDeadline(slot.id, SlotTimer.TIMEOUT)
            self._timers.set(deadline, now.monotonic + execution.timeout_seconds)

    def unassign(self, slot: WorkerSlot, now: Now, *, is_kept: bool) -> None:
        """Undo an assignment that a failed commit has dropped; requeue the execution if kept."""
        execution = self._release(slot)
        slot.mark_idle()
        if is_kept and execution.cancel_requested:
            self.end(execution, _CANCELLED, now)
        elif is_kept:
            self._engine.requeue(execution.execution_id)
            self._responder.publish_state(execution, now)

    def requeue_unbegun(self, slot: WorkerSlot, exit_code: int | None, now: Now) -> None:
        """Requeue an execution, at the head, whose worker ended before it began the task."""
        execution = slot.execution
        assert execution is not None
        is_abandoned = self.shutdown is ShutdownMode.NOW and not self._engine.durable
        if execution.cancel_requested or is_abandoned:
            self.end_interrupted(slot, now)
            return
        execution_id, attempt = execution.execution_id, execution.attempt
        count = 1
        if self._false_starts[:2] == (execution_id, attempt):
            count += self._false_starts[2]
        self._false_starts = (execution_id, attempt, count)
        self._release(slot)
        if count >= _MAX_FALSE_STARTS:
            self.end(execution, _FAILED, now, error=failures.never_begun(count, exit_code))
            return
        self._engine.requeue(execution_id)
        self._responder.publish_state(execution, now)

    # -- a running task -------------------------------------------------------------------------

    def keep_progress(self, event: ProgressReported, now: Now) -> None:
        """Keep and publish the progress of a running task."""
        execution = self.slots[event.slot].execution
        if execution is None or execution.execution_id != event.execution_id:
            return  # From a process that an ended task has left behind.
        reports = self._engine.keep_progress(event.execution_id, event.bodies, now.wall)
        self.commit_later(now)
        self._responder.publish(execution, reports)

    def interrupt(self, slot: WorkerSlot, error: ExecutionErrorInfo | None, now: Now) -> None:
        """Interrupt the running task; ``error``: why it fails, None for a cancel."""
        assert slot.execution is not None
        slot.stop_error = error
        self._effects.append(InterruptTask(slot.execution.execution_id, slot.id))
        self._timers.set(SlotDeadline(slot.id, SlotTimer.GRACE), now.monotonic + self._grace)

    def time_out(self, slot: WorkerSlot, now: Now) -> None:
        """Interrupt a task that has reached its time limit."""
        execution = slot.execution
        if execution is not None and not slot.is_interrupted:
            self.interrupt(slot, failures.timed_out(execution.timeout_seconds or 0.0), now)

    # -- end of an execution --------------------------------------------------------------------

    def end_task(self, event: TaskReturned | TaskRaised | TaskStopped, now: Now) -> None:
        """End a running execution by the outcome of its task."""
        slot = self.slots[event.slot]
        if slot.execution is None or event.execution_id != slot.execution.execution_id:
            return  # Late: the execution has left the slot.
        slot.mark_idle()
        match event:
            case TaskReturned():
                self.end(self._release(slot), _COMPLETE, now, result=event.result)
            case TaskRaised():
                self.fail(slot, event.error, now)
            case TaskStopped():
                self.end_interrupted(slot, now)

    def end_interrupted(self, slot: WorkerSlot, now: Now) -> None:
        """End a running execution by the reason of its interrupt."""
        assert slot.execution is not None
        if slot.execution.cancel_requested:
            self.end(self._release(slot), _CANCELLED, now)
        else:
            self.fail(slot, slot.stop_error or failures.stopped_without_request(), now)

    def fail(self, slot: WorkerSlot, error: ExecutionErrorInfo, now: Now) -> None:
        """End a running execution with an error, unless it is to be retried."""
        execution = self._release(slot)
        server_ends = self.shutdown is not None
        delay = self._policy.delay(execution, error, server_ends=server_ends)
        if self.shutdown is ShutdownMode.NOW and not self._engine.durable:
            delay = None  # The queue in memory ends with this server.
        self._fail_or_retry(execution, error, delay, now)

    def recover(self, execution: Execution, now: Now) -> None:
        """End or retry an execution that ran when the last server ended."""
        if execution.cancel_requested:
            self.end(execution, _CANCELLED, now)
            return
        error = failures.interrupted_by_crash()
        delay = self._policy.delay(execution, error, server_ends=True)
        self._fail_or_retry(execution, error, delay, now)

    def discard(self, slot: WorkerSlot) -> None:
        """Kill the worker of a running execution that was rolled back."""
        slot.discarded_id = self._release(slot).execution_id
        self.kill_worker(slot)

    def forget_discarded(self, slot: WorkerSlot) -> None:
        """Remove the log of a discarded execution, when its worker has ended."""
        if slot.discarded_id is not None:
            self._effects.append(ForgetLog(slot.discarded_id))
            slot.discarded_id = None

    def end(
        self,
        execution: Execution,
        status: ExecutionStatus,
        now: Now,
        *,
        result: bytes | None = None,
        error: ExecutionErrorInfo | None = None,
    ) -> None:
        """Move an execution to its terminal state, run the next one, and send held replies."""
        if execution.retry_at is not None:
            self._timers.cancel(Retry(execution.execution_id))
        if self._false_starts[0] == execution.execution_id:
            self._false_starts = _NO_FALSE_STARTS  # The id may be used again, once it is dropped.
        self._engine.finish(execution.execution_id, status, now.wall, result=result, error=error)
        responder = self._responder
        responder.publish_state(execution, now)
        # The next task first: it runs while clients receive the end of the last one.
        self.run_next(now)
        if responder.send_held(execution):
            self._timers.set(SchedulerTimer.SLICE, now.monotonic)

    def commit_later(self, now: Now) -> None:
        """Limit how long changes that may lag stay uncommitted."""
        if self._engine.lags and SchedulerTimer.LAG not in self._timers:
            self._timers.set(SchedulerTimer.LAG, now.monotonic + _LAG_SECONDS)

    def _fail_or_retry(
        self, execution: Execution, error: ExecutionErrorInfo, delay: float | None, now: Now
    ) -> None:
        """Requeue an execution after ``delay`` seconds; None: end it with the error."""
        if delay is None:
            self.end(execution, _FAILED, now, error=error)
            return
        failed = make_attempt(execution, error, now.wall)
        retry_at = now.wall + delay if delay else None
        self._engine.requeue(execution.execution_id, failed=failed, retry_at=retry_at)
        if delay:
            self._timers.set(Retry(execution.execution_id), now.monotonic + delay)
        self._responder.publish_state(execution, now)

    def _release(self, slot: WorkerSlot) -> Execution:
        """Detach the running execution from its slot, and return it."""
        execution = slot.execution
        assert execution is not None
        if execution.timeout_seconds is not None:
            self._timers.cancel(SlotDeadline(slot.id, SlotTimer.TIMEOUT))
        if execution.cancel_requested or slot.stop_error is not None:
            self._timers.cancel(SlotDeadline(slot.id, SlotTimer.GRACE))
        slot.execution = slot.stop_error = None
        return execution

    # -- workers --------------------------------------------------------------------------------

    def start_worker(self, slot: WorkerSlot) -> None:
        """Start a worker on a slot."""
        slot.state = WorkerState.STARTING
        self._effects.append(StartWorker(slot.id))

    def kill_worker(self, slot: WorkerSlot) -> None:
        """Kill the worker of a slot, with or without a task."""
        slot.state = WorkerState.ENDING
        self._effects.append(KillWorker(slot.id))
