"""The scheduler: every rule of the queue and of an execution's life, and nothing else.

Events go in, effects come out. There is no socket, no thread and no clock in here, so each
rule can be tested by calling `Scheduler.handle`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from enum import Enum

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
from zmqruntime.execution.core.frames import compose_progress_event
from zmqruntime.execution.core.timers import Timers
from zmqruntime.execution.lifecycle import Execution, LifecycleEngine
from zmqruntime.messages import (
    AcceptedReply,
    ErrorCode,
    ErrorKind,
    ErrorReply,
    ExecutionErrorInfo,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    OkReply,
    ShutdownMode,
    StatusRequest,
    encode,
)
from zmqruntime.messages import Reply as ReplyMessage
from zmqruntime.transport import Caller, describe_exit

__all__ = ["Scheduler"]

_FIRST_RESTART_SECONDS = 0.1
_MAX_RESTART_SECONDS = 30.0

_GRACE = "grace"
_RESTART = "restart"
_TASK_TIME = "task time"


class _Worker(Enum):
    """What the scheduler knows of the worker."""

    ABSENT = "absent"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"


class Scheduler:
    """Queues executions, runs one at a time, and answers for each of them.

    Args:
        engine: keeps the executions.
        max_queued: how many may wait; further ones are refused. None: any number.
        cancel_grace_seconds: how long a task that was told to stop may take before its worker
            is ended.
        make_id: names the executions that their clients do not name.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        *,
        max_queued: int | None = None,
        cancel_grace_seconds: float = 5.0,
        make_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self.engine = engine
        self._max_queued = max_queued
        self._grace = cancel_grace_seconds
        self._make_id = make_id
        self._worker = _Worker.ABSENT
        self._worker_was_ready = False
        self._failed_starts = 0
        self._current: Execution | None = None
        self._stop_error: ExecutionErrorInfo | None = None
        self._shutdown: ShutdownMode | None = None
        self._waiting: dict[str, list[Caller]] = {}
        self._timers = Timers()
        self._effects: list[Effect] = []

    @property
    def ready(self) -> bool:
        """Whether a task submitted now would start, or wait only for others."""
        return self._shutdown is None and self._worker in (_Worker.IDLE, _Worker.BUSY)

    @property
    def next_deadline(self) -> float | None:
        """When, on the monotonic clock, a `TimerDue` is wanted."""
        return self._timers.next

    @property
    def current_id(self) -> str | None:
        """The execution that runs."""
        return self._current.execution_id if self._current else None

    def start(self) -> list[Effect]:
        """Return what has to be done before the first event."""
        self._start_worker()
        return self._take_effects()

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Take one event and return what has to be done, in this order."""
        match event:
            case ProgressReported():
                self._keep_progress(event, now)
            case Submitted():
                self._submit(event, now)
            case StatusRequested():
                self._tell_status(event.request, event.caller, now)
            case TaskReturned():
                if self._is_current(event.execution_id):
                    self._end_current(ExecutionStatus.COMPLETE, now, result=event.result)
                    self._worker = _Worker.IDLE
                    self._go_on(now)
            case TaskRaised():
                if self._is_current(event.execution_id):
                    self._end_current(ExecutionStatus.FAILED, now, error=event.error)
                    self._worker = _Worker.IDLE
                    self._go_on(now)
            case TaskStopped():
                if self._is_current(event.execution_id):
                    self._end_stopped(now)
                    self._worker = _Worker.IDLE
                    self._go_on(now)
            case CancelRequested():
                self._cancel(event, now)
            case TimerDue():
                self._on_timers(now)
            case WorkerReady():
                self._worker = _Worker.IDLE
                self._worker_was_ready = True
                self._failed_starts = 0
                self._go_on(now)
            case WorkerExited():
                self._on_worker_exit(event, now)
            case ShutdownRequested():
                self._shut_down(event, now)
        return self._take_effects()

    # -- requests -------------------------------------------------------------------------

    def _submit(self, event: Submitted, now: Now) -> None:
        request, caller = event.request, event.caller
        execution_id = request.execution_id or self._make_id()
        known = self.engine.get(execution_id)
        if known is not None:
            self._submit_again(event, known)
        elif self._shutdown is not None:
            self._refuse(
                caller, ErrorCode.SHUTTING_DOWN, "the server is shutting down and takes no more"
            )
        elif self._max_queued is not None and self.engine.queued_count >= self._max_queued:
            self._refuse(
                caller,
                ErrorCode.QUEUE_FULL,
                f"{self.engine.queued_count} executions wait and the server takes no more than "
                f"{self._max_queued}: try again when some have ended",
            )
        else:
            request = request.model_copy(update={"execution_id": execution_id, "request_id": None})
            execution = self.engine.submit(request, now.wall)
            position = self.engine.queued_count
            self._publish_state(execution, now)
            self._reply(caller, AcceptedReply(execution_id=execution_id, queue_position=position))
            self._go_on(now)

    def _submit_again(self, event: Submitted, known: Execution) -> None:
        if not known.is_same_work(event.request):
            self._refuse(
                event.caller,
                ErrorCode.CONFLICT,
                f"execution id {known.execution_id} already stands for another task: "
                "choose a new id for new work",
            )
            return
        self._reply(
            event.caller,
            AcceptedReply(
                execution_id=known.execution_id,
                queue_position=self._position(known),
                duplicate=True,
            ),
        )

    def _tell_status(self, request: StatusRequest, caller: Caller, now: Now) -> None:
        if request.execution_id is None:
            self._tell_all(request, caller)
            return
        execution = self._find(request.execution_id, caller)
        if execution is None:
            return
        if execution.status.is_terminal or not request.wait_seconds:
            self._tell_record(execution, caller)
            return
        self._waiting.setdefault(execution.execution_id, []).append(caller)
        self._timers.set((execution.execution_id, caller), now.monotonic + request.wait_seconds)

    def _tell_all(self, request: StatusRequest, caller: Caller) -> None:
        after = -1
        if request.cursor is not None:
            if not request.cursor.isdecimal() or not request.cursor.isascii():
                self._refuse(
                    caller,
                    ErrorCode.INVALID_REQUEST,
                    f"cursor: {request.cursor!r} is none that this server gave",
                )
                return
            after = int(request.cursor)
        queued = self.engine.list_queued(request.limit, after)
        # A full page may be the last one; the one after it is then empty.
        more = request.limit > 0 and len(queued) == request.limit
        self._reply(
            caller,
            ExecutionStatusSnapshot(
                running_executions=tuple(e.to_running_info() for e in self.engine.list_running()),
                queued_executions=tuple(e.to_queued_info(place) for place, e in queued),
                counts=dict(self.engine.counts),
                cursor=str(queued[-1][1].ticket) if more else None,
            ),
        )

    def _cancel(self, event: CancelRequested, now: Now) -> None:
        execution = self._find(event.request.execution_id, event.caller)
        if execution is None:
            return
        if execution.status in (ExecutionStatus.COMPLETE, ExecutionStatus.FAILED):
            self._refuse(
                event.caller,
                ErrorCode.CONFLICT,
                f"execution {execution.execution_id} has ended already ({execution.status}): "
                "there is nothing to cancel",
            )
            return
        if execution.status is ExecutionStatus.QUEUED:
            self._end(execution, ExecutionStatus.CANCELLED, now)
        elif execution.status is ExecutionStatus.RUNNING and not execution.cancel_requested:
            self.engine.request_cancel(execution.execution_id)
            self._stop_current(None, now)
        self._reply(
            event.caller,
            OkReply(execution_id=execution.execution_id, execution_status=execution.status),
        )
        self._go_on(now)

    def _find(self, execution_id: str, caller: Caller) -> Execution | None:
        execution = self.engine.get(execution_id)
        if execution is None:
            self._refuse(
                caller,
                ErrorCode.UNKNOWN_EXECUTION,
                f"no execution {execution_id} is kept here: it was never submitted to this "
                "server, or has ended and was dropped from its history",
            )
        return execution

    # -- the running task -------------------------------------------------------------------

    def _go_on(self, now: Now) -> None:
        """Start the next execution if one can be started, or leave if all is done."""
        if self._current is not None:
            return
        execution = self.engine.peek()
        if execution is None:
            if self._shutdown is not None:
                self._effects.append(Exit())
            return
        if self._worker is not _Worker.IDLE:
            return
        self._worker = _Worker.BUSY
        self._current = self.engine.start(execution.execution_id, now.wall)
        self._effects.append(AssignTask(execution.execution_id, execution.request))
        self._publish_state(execution, now)
        if execution.timeout_seconds is not None:
            self._timers.set(_TASK_TIME, now.monotonic + execution.timeout_seconds)

    def _keep_progress(self, event: ProgressReported, now: Now) -> None:
        execution = self._current
        if execution is None or execution.execution_id != event.execution_id:
            return  # From a process that the task left behind: its execution has ended.
        frame = compose_progress_event(
            event.execution_id,
            self.engine.next_sequence(event.execution_id),
            now.wall,
            event.body,
        )
        self.engine.keep_progress(event.execution_id, frame)
        self._effects.append(Publish(execution.topic, frame))

    def _stop_current(self, error: ExecutionErrorInfo | None, now: Now) -> None:
        """Tell the running task to stop; ``error`` is what it failed of, if not cancelled."""
        assert self._current is not None
        self._stop_error = error
        self._effects.append(InterruptTask(self._current.execution_id))
        self._timers.set(_GRACE, now.monotonic + self._grace)

    def _end_stopped(self, now: Now) -> None:
        """End the running execution by the reason for which it was stopped."""
        assert self._current is not None
        if self._current.cancel_requested:
            self._end_current(ExecutionStatus.CANCELLED, now)
        else:
            self._end_current(ExecutionStatus.FAILED, now, error=self._stop_error)

    def _end_current(
        self,
        status: ExecutionStatus,
        now: Now,
        *,
        result: bytes | None = None,
        error: ExecutionErrorInfo | None = None,
    ) -> None:
        assert self._current is not None
        execution, self._current = self._current, None
        self._stop_error = None
        self._timers.cancel(_TASK_TIME)
        self._timers.cancel(_GRACE)
        self._end(execution, status, now, result=result, error=error)

    def _end(
        self,
        execution: Execution,
        status: ExecutionStatus,
        now: Now,
        *,
        result: bytes | None = None,
        error: ExecutionErrorInfo | None = None,
    ) -> None:
        sequence = self.engine.next_sequence(execution.execution_id)
        self.engine.finish(execution.execution_id, status, now.wall, result=result, error=error)
        event = encode(execution.to_state_event(sequence, now.wall))
        self._effects.append(Publish(execution.topic, event))
        for caller in self._waiting.pop(execution.execution_id, ()):
            self._timers.cancel((execution.execution_id, caller))
            self._tell_record(execution, caller)

    # -- the worker -----------------------------------------------------------------------------

    def _start_worker(self) -> None:
        self._worker = _Worker.STARTING
        self._effects.append(StartWorker())

    def _on_worker_exit(self, event: WorkerExited, now: Now) -> None:
        was_starting = self._worker is _Worker.STARTING
        self._worker = _Worker.ABSENT
        how = "could not be started" if event.exit_code is None else describe_exit(event.exit_code)
        if was_starting and not self._worker_was_ready:
            words = f"\n{event.message}" if event.message else ""
            self._effects.append(Exit(f"the worker did not get ready ({how}){words}"))
            return
        if self._current is not None:
            if self._current.cancel_requested or self._stop_error is not None:
                self._end_stopped(now)
            else:
                self._end_current(ExecutionStatus.FAILED, now, error=_death(event.exit_code, how))
        if self._shutdown is not None and self.engine.peek() is None:
            self._effects.append(Exit())
        elif was_starting:
            delay = min(_FIRST_RESTART_SECONDS * 2**self._failed_starts, _MAX_RESTART_SECONDS)
            self._failed_starts += 1
            self._timers.set(_RESTART, now.monotonic + delay)
        else:
            self._start_worker()

    def _on_timers(self, now: Now) -> None:
        for key in self._timers.take_due(now.monotonic):
            match key:
                case str() if key == _GRACE:
                    self._effects.append(KillWorker())
                case str() if key == _RESTART:
                    self._start_worker()
                case str() if key == _TASK_TIME:
                    self._time_out(now)
                case (str() as execution_id, Caller() as caller):
                    self._stop_waiting(execution_id, caller)

    def _time_out(self, now: Now) -> None:
        execution = self._current
        if execution is None or execution.cancel_requested or self._stop_error is not None:
            return
        limit = execution.timeout_seconds
        self._stop_current(
            ExecutionErrorInfo(
                kind=ErrorKind.TIMEOUT, message=f"the task ran longer than {limit:g} s"
            ),
            now,
        )

    def _stop_waiting(self, execution_id: str, caller: Caller) -> None:
        waiting = self._waiting[execution_id]
        waiting.remove(caller)
        if not waiting:
            del self._waiting[execution_id]
        execution = self.engine.get(execution_id)
        assert execution is not None
        self._tell_record(execution, caller)

    # -- the end --------------------------------------------------------------------------------

    def _shut_down(self, event: ShutdownRequested, now: Now) -> None:
        if self._shutdown is None or event.mode is ShutdownMode.NOW:
            self._shutdown = event.mode
        if event.mode is ShutdownMode.NOW:
            error = ExecutionErrorInfo(
                kind=ErrorKind.INTERRUPTED, message="the server was shut down before it ran"
            )
            while (execution := self.engine.peek()) is not None:
                self._end(execution, ExecutionStatus.CANCELLED, now, error=error)
            if self._current is not None:
                self._interrupt_current(event, now)
        self._go_on(now)

    def _interrupt_current(self, event: ShutdownRequested, now: Now) -> None:
        assert self._current is not None
        if not self._current.cancel_requested and self._stop_error is None:
            self._stop_current(
                ExecutionErrorInfo(
                    kind=ErrorKind.INTERRUPTED, message="the server was shut down while it ran"
                ),
                now,
            )
        if event.forced:
            self._effects.append(KillWorker())
            self._end_stopped(now)

    # -- replies and events ---------------------------------------------------------------------

    def _publish_state(self, execution: Execution, now: Now) -> None:
        sequence = self.engine.next_sequence(execution.execution_id)
        event = encode(execution.to_state_event(sequence, now.wall))
        self._effects.append(Publish(execution.topic, event))

    def _tell_record(self, execution: Execution, caller: Caller) -> None:
        record = execution.to_record(self._position(execution))
        self._reply(caller, ExecutionStatusSnapshot(execution=record))

    def _position(self, execution: Execution) -> int | None:
        if execution.status is not ExecutionStatus.QUEUED:
            return None
        return self.engine.position(execution.execution_id)

    def _is_current(self, execution_id: str) -> bool:
        return self._current is not None and self._current.execution_id == execution_id

    def _reply(self, caller: Caller, message: ReplyMessage) -> None:
        self._effects.append(Reply(caller, message))

    def _refuse(self, caller: Caller, code: ErrorCode, message: str) -> None:
        self._reply(caller, ErrorReply(code=code, message=message))

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects


def _death(exit_code: int | None, how: str) -> ExecutionErrorInfo:
    by_signal = exit_code is not None and exit_code < 0
    return ExecutionErrorInfo(
        kind=ErrorKind.WORKER_DIED,
        message=f"the worker process ended with {how} while it ran the task",
        exit_code=None if by_signal else exit_code,
        signal=how.removeprefix("signal ") if by_signal else None,
    )
