"""One run of an execution server: the loop that drives its dispatcher."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from zmqruntime.execution.core.events import Event, TimerDue, WorkerReady
from zmqruntime.execution.core.scheduler import Scheduler
from zmqruntime.execution.errors import WorkerFailed
from zmqruntime.execution.lifecycle.events import (
    ExecutionEvent,
    ProgressReport,
    compose_messages,
)
from zmqruntime.execution.runner import RunnerHost, TaskRunner
from zmqruntime.execution.server.dispatcher import Dispatcher, Transport
from zmqruntime.messages import Incoming, ShutdownMode, WorkerInfo, make_topic
from zmqruntime.transport import Caller, ServerSession, WorkSummary
from zmqruntime.transport.lowlevel import LARGE_EVENT_BYTES

__all__ = ["ExecutionSession"]

# How long the ends of short tasks are batched into one commit while others follow.
_BATCH_SECONDS = 0.003
_MAY_MAKE_READY = frozenset({WorkerReady, TimerDue})


class ExecutionSession(ServerSession, Transport):
    """Drives one scheduler and one runner from the loop of one server, and uses them alone.

    Other arguments are those of `ServerSession`.
    """

    def __init__(self, *args: Any, scheduler: Scheduler, runner: TaskRunner, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dispatcher = Dispatcher(
            scheduler, runner, self, soon=self.loop.call_when_idle, later=self._call_later
        )
        self._runner = runner
        self._runner_open = False
        self._alarm = float("inf")

    @property
    def ready(self) -> bool:
        return self._dispatcher.ready

    def open(self) -> None:
        try:
            super().open()
        except BaseException:
            self._dispatcher.close()
            raise

    def on_start(self) -> None:
        self._runner.open(
            RunnerHost(
                loop=self.loop,
                endpoint=self.endpoint,
                max_message_bytes=self.config.max_message_bytes,
                log_dir=self.config.log_dir,
                emit=self._dispatcher.handle,
            )
        )
        self._runner_open = True
        self._dispatcher.start()

    def on_close(self) -> None:
        try:
            if self._runner_open:
                self._runner.close()
        finally:
            self._dispatcher.close()

    def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> None:
        if not self._dispatcher.handle_request(request, caller, frame):
            super().handle_request(request, caller, frame)

    def shut_down(self, mode: ShutdownMode) -> None:
        self._dispatcher.shut_down(mode)

    def abort(self) -> None:
        self._dispatcher.shut_down(ShutdownMode.NOW, forced=True)

    def list_workers(self) -> tuple[WorkerInfo, ...]:
        """Return the runner's workers. From any thread."""
        return self._runner.describe(None)

    def describe_work(self, limit: int) -> WorkSummary:
        return self._dispatcher.describe_work(limit)

    # -- the dispatcher's transport -----------------------------------------------------------

    def publish_events(
        self, client_id: str, execution_id: str, events: Sequence[ExecutionEvent]
    ) -> None:
        if not self.registrations.has_subscribers:
            return
        if self.publisher.is_full:
            events = self._without_large(events)
        topic = make_topic(client_id, execution_id)
        for together in compose_messages(execution_id, events):
            self.publish(topic, *together)

    def _without_large(self, events: Sequence[ExecutionEvent]) -> Sequence[ExecutionEvent]:
        """Leave out long progress reports, which subscribers can fetch from the event log."""
        short = [event for event in events if not _is_large(event)]
        self.publisher.log_dropped_events(len(events) - len(short))
        return short

    def exit(self, failure: str | None) -> None:
        if failure is not None:
            self.failure = WorkerFailed(failure)
        self.loop.stop()

    def restore_files(self) -> None:
        super().restore_files()
        self._runner.restore_files()

    def handled(self, event: Event) -> None:
        if not self.file_check.scheduled:
            self.file_check.schedule()
        if type(event) is WorkerReady:
            self.settled.set()
        # A recovered journal is noticed at a timer.
        if type(event) in _MAY_MAKE_READY and self.ready:
            self.became_ready()
        deadline = self._dispatcher.next_deadline
        if deadline is not None and deadline < self._alarm:
            self._set_alarm(deadline)

    def _call_later(self, callback: Callable[[], None]) -> None:
        self.loop.call_at(time.monotonic() + _BATCH_SECONDS, callback)

    def _set_alarm(self, deadline: float) -> None:
        """Set a timer of the loop for the scheduler's next deadline."""
        self._alarm = deadline
        self.loop.call_at(deadline, lambda: self._on_alarm(deadline))

    def _on_alarm(self, deadline: float) -> None:
        if deadline == self._alarm:
            self._alarm = float("inf")
        self._dispatcher.wake()


def _is_large(event: ExecutionEvent) -> bool:
    return isinstance(event, ProgressReport) and len(event.body) >= LARGE_EVENT_BYTES
