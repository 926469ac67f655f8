"""One run of an execution server: requests become events, and effects are performed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

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
    WorkerReady,
)
from zmqruntime.execution.errors import WorkerFailed
from zmqruntime.execution.lifecycle import compose_event
from zmqruntime.execution.runner import RunnerHost, TaskRunner
from zmqruntime.messages import (
    CancelRequest,
    ExecuteRequest,
    ExecutionStatus,
    Request,
    ShutdownMode,
    StatusRequest,
)
from zmqruntime.transport import Caller, ServerSession

__all__ = ["ExecutionSession"]


class ExecutionSession(ServerSession):
    """Drives one scheduler and one runner from the loop of one server.

    Takes what `ServerSession` takes, and a scheduler and a runner that nobody else uses.
    """

    def __init__(self, *args: Any, scheduler: Scheduler, runner: TaskRunner, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scheduler = scheduler
        self._runner = runner
        self._runner_open = False
        self._alarm = float("inf")
        self._perform: dict[type[Effect], Callable[[Any], None]] = {
            Reply: lambda effect: self.send_reply(effect.caller, effect.frame),
            Publish: self._publish_event,
            AssignTask: lambda effect: runner.assign(effect.execution_id, effect.request),
            InterruptTask: lambda effect: runner.interrupt(effect.execution_id),
            KillWorker: lambda effect: runner.kill_worker(),
            StartWorker: lambda effect: runner.start_worker(),
            Exit: self._exit,
        }

    @property
    def ready(self) -> bool:
        return self._scheduler.ready

    def on_start(self) -> None:
        self._runner.open(
            RunnerHost(
                loop=self.loop,
                context=self.context,
                endpoint=self.endpoint,
                max_message_bytes=self.config.max_message_bytes,
                emit=self._handle,
            )
        )
        self._runner_open = True
        self._perform_all(self._scheduler.start())

    def on_close(self) -> None:
        if self._runner_open:
            self._runner.close()

    def handle_request(self, request: Request, caller: Caller) -> None:
        match request:
            case ExecuteRequest():
                self._handle(Submitted(request, caller))
            case StatusRequest():
                self._handle(StatusRequested(request, caller))
            case CancelRequest():
                self._handle(CancelRequested(request, caller))
            case _:
                super().handle_request(request, caller)

    def shut_down(self, mode: ShutdownMode) -> None:
        self._handle(ShutdownRequested(mode))

    def abort(self) -> None:
        self._handle(ShutdownRequested(ShutdownMode.NOW, forced=True))

    def describe_work(self, limit: int) -> dict[str, Any]:
        engine = self._scheduler.engine
        running = engine.list_running()
        return {
            "running_executions": tuple(e.to_running_info() for e in running[:limit]),
            "queued_executions": tuple(
                e.to_queued_info(place) for place, e in engine.list_queued(limit)
            ),
            "running_count": engine.counts[ExecutionStatus.RUNNING],
            "queued_count": engine.queued_count,
            "workers": self._runner.describe(self._scheduler.current_id),
        }

    def _handle(self, event: Event) -> None:
        now = Now(time.time(), time.monotonic())
        self._perform_all(self._scheduler.handle(event, now))
        if isinstance(event, WorkerReady) and self.ready:
            self.became_ready()
        self._set_alarm()

    def _perform_all(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._perform[type(effect)](effect)

    def _publish_event(self, effect: Publish) -> None:
        if self.registrations.anybody:
            self.publish(effect.topic, compose_event(effect.execution_id, effect.event))

    def _exit(self, effect: Exit) -> None:
        if effect.failure is not None:
            self.failure = WorkerFailed(effect.failure)
        self.loop.stop()

    def _set_alarm(self) -> None:
        """Keep one timer of the loop at the scheduler's next deadline, or before it."""
        deadline = self._scheduler.next_deadline
        if deadline is not None and deadline < self._alarm:
            self._alarm = deadline
            self.loop.call_at(deadline, lambda: self._on_alarm(deadline))

    def _on_alarm(self, deadline: float) -> None:
        if deadline == self._alarm:
            self._alarm = float("inf")
        self._handle(TimerDue())
