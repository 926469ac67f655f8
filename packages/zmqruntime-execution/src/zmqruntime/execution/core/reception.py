"""What clients ask of the scheduler, each request with its one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zmqruntime.execution.core import answers
from zmqruntime.execution.core.course import Course
from zmqruntime.execution.core.events import (
    CancelRequested,
    EventsRequested,
    Now,
    StatusRequested,
    Submitted,
)
from zmqruntime.execution.core.speaker import Speaker
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import ExecutionStatus, OkReply

if TYPE_CHECKING:
    from zmqruntime.transport import Caller

__all__ = ["Reception"]

# By name once: Python 3.11 looks members of an enum up slowly.
_QUEUED, _RUNNING, _COMPLETE, _FAILED, _CANCELLED = ExecutionStatus


class Reception:
    """Takes what clients ask, and has it answered now or later.

    Args:
        engine: keeps the executions.
        course: brings them to the worker.
        speaker: answers.
        max_queued: how many may wait; further ones are refused. None: any number.
        max_queued_bytes: how many bytes their requests may have together; None: any number.
        make_id: names the executions that their clients do not name.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        course: Course,
        speaker: Speaker,
        max_queued: int | None,
        max_queued_bytes: int | None,
        make_id: Callable[[], str],
    ) -> None:
        self._engine = engine
        self._course = course
        self._speaker = speaker
        self._max_queued = max_queued
        self._max_queued_bytes = max_queued_bytes
        self._make_id = make_id

    def submit(self, event: Submitted, now: Now) -> None:
        """Queue a new task; tell of one that is known how it stands; or refuse it."""
        request, caller, frame = event
        if request.execution_id is None:
            request = request.model_copy(update={"execution_id": self._make_id()})
            frame = b""
        known = self._engine.get(request.execution_id or "")
        speaker = self._speaker
        if known is not None:
            if known.is_same_work(request):
                speaker.accept(known, event, now, duplicate=True)
            else:
                speaker.reply(caller, answers.conflicting(known), known.execution_id)
        elif self._course.shutdown is not None:
            speaker.reply(caller, answers.shutting_down())
        elif self._max_queued is not None and self._engine.queued_count >= self._max_queued:
            speaker.reply(caller, answers.queue_full(self._engine.queued_count, self._max_queued))
        elif self._max_queued_bytes is not None and self._is_too_much(len(event.frame)):
            speaker.reply(
                caller,
                answers.queue_too_large(
                    self._engine.queued_bytes, len(event.frame), self._max_queued_bytes or 0
                ),
            )
        elif request.wait_seconds and not speaker.may_hold(caller):
            speaker.reply(caller, answers.too_many_held())
        else:
            execution = self._engine.submit(request, now.wall, frame)
            speaker.publish_state(execution, now)
            next_one = self._course.take_next(now)
            # A reply that is not held comes first: its client goes on, and may submit again, while
            # the worker is given its task. Who waits for the result wants the worker to have it.
            if not request.wait_seconds:
                speaker.accept(execution, event, now)
            if next_one is not None:
                self._course.assign(next_one, now)
            if request.wait_seconds:
                speaker.accept(execution, event, now)

    def _is_too_much(self, size: int) -> bool:
        """Whether the queue has no room for so many bytes; an empty one takes any request."""
        limit, queued = self._max_queued_bytes, self._engine.queued_bytes
        return limit is not None and queued > 0 and queued + size > limit

    def tell_status(self, event: StatusRequested, now: Now) -> None:
        """Tell of one execution, now or when it has ended, or of all of them."""
        execution_id = event.request.execution_id
        if execution_id is None:
            told = answers.snapshot_of_all(self._engine, event.request)
            self._speaker.reply(event.caller, told)
        elif execution := self._find(execution_id, event.caller):
            self._speaker.show(execution, event, now)

    def tell_events(self, event: EventsRequested) -> None:
        """Tell the events that are kept of an execution."""
        if execution := self._find(event.request.execution_id, event.caller):
            self._speaker.show_events(execution, event)

    def cancel(self, event: CancelRequested, now: Now) -> None:
        """Stop one execution, and no other."""
        execution_id, caller = event.request.execution_id, event.caller
        execution = self._find(execution_id, caller)
        if execution is None:
            return
        if execution.status in (_COMPLETE, _FAILED):
            self._speaker.reply(caller, answers.ended_already(execution), execution_id)
            return
        if execution.status is _QUEUED:
            self._course.end(execution, _CANCELLED, now)
        elif execution.status is _RUNNING and not execution.cancel_requested:
            self._engine.request_cancel(execution_id)
            self._course.stop(None, now)
        told = OkReply(execution_id=execution_id, execution_status=execution.status)
        self._speaker.reply(caller, told, execution_id)

    def _find(self, execution_id: str, caller: Caller) -> Execution | None:
        """Return an execution; or None, when the caller is told that there is none."""
        execution = self._engine.get(execution_id)
        if execution is None:
            self._speaker.reply(caller, answers.unknown(execution_id))
        return execution
