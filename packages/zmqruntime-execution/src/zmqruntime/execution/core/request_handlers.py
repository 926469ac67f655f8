"""Handles the requests of clients: submit, status, kept events, cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zmqruntime.execution.core import replies
from zmqruntime.execution.core.events import (
    CancelRequested,
    EventsRequested,
    Now,
    StatusRequested,
    Submitted,
)
from zmqruntime.execution.core.responder import Responder
from zmqruntime.execution.core.slot_manager import SlotManager
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import ExecutionStatus, OkReply

if TYPE_CHECKING:
    from zmqruntime.transport import Caller

__all__ = ["RequestHandlers"]

# By name once: Python 3.11 looks members of an enum up slowly.
_QUEUED, _RUNNING, _COMPLETE, _FAILED, _CANCELLED = ExecutionStatus


class RequestHandlers:
    """One method for each request; each sends or holds exactly one reply.

    Args:
        engine: keeps the executions.
        slots: runs them.
        responder: sends the replies.
        max_queued: how many executions may be queued; None: any number.
        max_queued_bytes: how many bytes their requests may have together; None: any number.
        make_id: returns a new id, for an execution that its client has not named.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        slots: SlotManager,
        responder: Responder,
        max_queued: int | None,
        max_queued_bytes: int | None,
        make_id: Callable[[], str],
    ) -> None:
        self._engine = engine
        self._slots = slots
        self._responder = responder
        self._max_queued = max_queued
        self._max_queued_bytes = max_queued_bytes
        self._make_id = make_id

    def submit(self, event: Submitted, now: Now) -> None:
        """Queue a new execution, accept a duplicate, or reject the request."""
        request, caller, frame = event
        if request.execution_id is None:
            request = request.model_copy(update={"execution_id": self._make_id()})
            frame = b""
        known = self._engine.get(request.execution_id or "")
        responder, slots = self._responder, self._slots
        if known is not None:
            if known.is_same_work(request):
                responder.accept(known, event, now, duplicate=True)
            else:
                responder.reply(caller, replies.conflict(known), known.execution_id)
        elif slots.shutdown is not None:
            responder.reply(caller, replies.shutting_down())
        elif self._max_queued is not None and self._engine.queued_count >= self._max_queued:
            responder.reply(caller, replies.queue_full(self._engine.queued_count, self._max_queued))
        elif self._max_queued_bytes is not None and self._exceeds_queue(len(event.frame)):
            responder.reply(
                caller,
                replies.queue_bytes_exceeded(
                    self._engine.queued_bytes, len(event.frame), self._max_queued_bytes
                ),
            )
        elif request.wait_seconds and not responder.has_room(caller):
            responder.reply(caller, replies.too_many_held())
        else:
            execution = self._engine.submit(request, now.wall, frame)
            responder.publish_state(execution, now)
            slot = slots.start_next(now)
            # A reply that is not held goes first: its client can continue, and submit again, while
            # the worker gets its task. A client that waits for the result needs the task to start.
            if not request.wait_seconds:
                responder.accept(execution, event, now)
            if slot is not None:
                slots.assign(slot, now)
            if request.wait_seconds:
                responder.accept(execution, event, now)

    def _exceeds_queue(self, size: int) -> bool:
        """Whether the queue has no room for so many bytes; an empty one takes any request."""
        limit, queued = self._max_queued_bytes, self._engine.queued_bytes
        return limit is not None and queued > 0 and queued + size > limit

    def status(self, event: StatusRequested, now: Now) -> None:
        """Send one record, now or when it is final, or a snapshot of all executions."""
        execution_id = event.request.execution_id
        if execution_id is None:
            snapshot = replies.build_queue_snapshot(self._engine, event.request)
            self._responder.reply(event.caller, snapshot)
        elif execution := self._find(execution_id, event.caller):
            self._responder.send_record(execution, event, now)

    def kept_events(self, event: EventsRequested) -> None:
        """Send the buffered events of an execution."""
        if execution := self._find(event.request.execution_id, event.caller):
            self._responder.send_kept_events(execution, event)

    def cancel(self, event: CancelRequested, now: Now) -> None:
        """Cancel one execution: a queued one ends, a running one is interrupted."""
        execution_id, caller = event.request.execution_id, event.caller
        execution = self._find(execution_id, caller)
        if execution is None:
            return
        if execution.status in (_COMPLETE, _FAILED):
            self._responder.reply(caller, replies.already_ended(execution), execution_id)
            return
        if execution.status is _QUEUED:
            self._slots.end(execution, _CANCELLED, now)
        elif execution.status is _RUNNING and not execution.cancel_requested:
            self._engine.request_cancel(execution_id)
            slot = self._slots.find(execution_id)
            assert slot is not None  # One that runs has a slot.
            self._slots.interrupt(slot, None, now)
        reply = OkReply(execution_id=execution_id, execution_status=execution.status)
        self._responder.reply(caller, reply, execution_id)

    def _find(self, execution_id: str, caller: Caller) -> Execution | None:
        """Return an execution; None after an error reply, if it is not kept."""
        execution = self._engine.get(execution_id)
        if execution is None:
            self._responder.reply(caller, replies.unknown_execution(execution_id))
        return execution
