"""Sends replies, immediately or when a long poll ends, and publishes events behind them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from zmqruntime.execution.core.effects import Effect, ForgetLog, LargeReply, Publish, Reply
from zmqruntime.execution.core.event_log import EventLog
from zmqruntime.execution.core.pending_replies import PendingReplies, PendingReply
from zmqruntime.execution.core.replies import (
    NameLog,
    compose_accepted,
    compose_kept_events,
    compose_records,
    compose_snapshot,
    evicted_while_waiting,
    too_many_held,
)
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.events import ExecutionEvent
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import ExecutionStatus
from zmqruntime.messages.lowlevel import encode_with_id
from zmqruntime.transport.lowlevel import LARGE_REPLY_BYTES

if TYPE_CHECKING:
    from zmqruntime.execution.core.events import EventsRequested, Now, StatusRequested, Submitted
    from zmqruntime.execution.core.timers import Timers
    from zmqruntime.messages import Reply as ReplyMessage
    from zmqruntime.transport import Caller

__all__ = ["SLICE", "Responder"]

SLICE: Final = 50
"""How many executions or held replies one round of the loop handles: 1 to 5 ms of work."""

_SLICE_BYTES: Final = 2**20
_LOGS_KEPT: Final = 10_000
"""Of ended executions. There may be more unread records than that."""

# So many held replies are sent when their execution ends; further ones follow in slices.
_FEW: Final = 4


class Responder:
    """Replies to requests, holds long polls, and publishes events behind all replies.

    Args:
        engine: keeps the executions.
        timers: limits how long a reply is held.
        effects: the decisions of the event at hand, in order; appended to.
        events: buffers events for subscribers that missed some.
        name_log: returns the log file of an execution.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        timers: Timers[Any],
        effects: list[Effect],
        events: EventLog,
        name_log: NameLog,
    ) -> None:
        self.keeps_logs = False
        """Whether logs of dropped records stay until the end of the server, which removes all."""
        self._engine = engine
        self._timers = timers
        self._effects = effects
        self._events = events
        self._pending = PendingReplies()
        self._backlog: deque[tuple[PendingReply, Execution]] = deque()
        """Held replies that are due, beyond what one round may send."""
        self._unpublished: list[tuple[Execution, list[ExecutionEvent]]] = []
        self._logged: deque[str] = deque()
        """Ended executions that may have a log, the oldest first."""
        self._name_log = name_log
        self._snapshot = partial(compose_snapshot, name_log=name_log)
        self._accepted = partial(compose_accepted, name_log=name_log)
        self._duplicate = partial(compose_accepted, name_log=name_log, duplicate=True)
        self._held_accepted = partial(self._accepted, with_record=True)
        self._held_duplicate = partial(self._duplicate, with_record=True)

    # -- replies --------------------------------------------------------------------------------

    def reply(self, caller: Caller, message: ReplyMessage, execution_id: str | None = None) -> None:
        """Send a reply."""
        frame = encode_with_id(message, caller.request_id)
        self._effects.append(Reply(caller, frame, execution_id))

    def has_room(self, caller: Caller) -> bool:
        """Whether one more reply to this caller may be held."""
        return self._pending.has_room(caller)

    def accept(
        self, execution: Execution, event: Submitted, now: Now, *, duplicate: bool = False
    ) -> None:
        """Reply to a submit; with ``wait_seconds``, with the final record when it has ended."""
        wait_seconds = event.request.wait_seconds
        if wait_seconds:
            compose = self._held_duplicate if duplicate else self._held_accepted
        else:
            compose = self._duplicate if duplicate else self._accepted
        pending = PendingReply(execution.execution_id, event.caller, compose)
        self._send_or_hold(pending, execution, wait_seconds, now)

    def send_record(self, execution: Execution, event: StatusRequested, now: Now) -> None:
        """Reply with a record; with ``wait_seconds`` when it is final, or the time is up."""
        request = event.request
        pending = PendingReply(execution.execution_id, event.caller, self._snapshot, request.also)
        self._send_or_hold(pending, execution, request.wait_seconds, now)

    def send_kept_events(self, execution: Execution, event: EventsRequested) -> None:
        """Reply with the buffered events of an execution."""
        request, caller = event.request, event.caller
        name = execution.execution_id
        events = self._events.take(name, request.after_sequence, request.limit)
        first = self._events.first_kept(name)
        frame = compose_kept_events(execution, events, first, caller.request_id)
        self._effects.append(Reply(caller, frame, name))

    # -- held replies ---------------------------------------------------------------------------

    @property
    def has_backlog(self) -> bool:
        """Whether held replies are due that no round has sent yet."""
        return bool(self._backlog)

    def list_awaited(self, limit: int) -> list[str]:
        """Return up to ``limit`` ids of executions on which replies are held."""
        return self._pending.list_ids(limit)

    def expire(self, pending: PendingReply) -> None:
        """Send a held reply whose time is up, with the present state of its execution."""
        self._pending.remove(pending)
        self._send(pending, self._get_kept(pending))

    def send_held(self, execution: Execution) -> bool:
        """Send the held replies about an execution that has ended.

        Returns:
            Whether there are too many for one round: `send_backlog` sends the others.
        """
        count = 0
        for pending in self._pending.take(execution.execution_id):
            self._timers.cancel(pending)
            count += 1
            if count <= _FEW:
                self._send(pending, execution)
            else:
                self._backlog.append((pending, execution))
        return count > _FEW

    def release_all(self) -> None:
        """Make all held replies due because the server ends."""
        for pending in self._pending.take_all():
            self._timers.cancel(pending)
            self._backlog.append((pending, self._get_kept(pending)))

    def send_backlog(self) -> None:
        """Send as many of the due replies as one round may send."""
        room = _SLICE_BYTES
        for _ in range(min(SLICE, len(self._backlog))):
            if room <= 0:
                break
            pending, execution = self._backlog.popleft()
            room -= self._send(pending, execution)

    def reject_held(self, execution: Execution, message: ReplyMessage) -> None:
        """Reject the held requests about an execution that was rolled back."""
        name = execution.execution_id
        self._events.drop(name)
        if execution.attempts:
            self._effects.append(ForgetLog(name))
        for pending in self._pending.take(name):
            self._timers.cancel(pending)
            self.reply(pending.caller, message)
        if any(due is execution for _, due in self._backlog):
            backlog = list(self._backlog)
            self._backlog.clear()
            for pending, due in backlog:
                if due is execution:
                    self.reply(pending.caller, message)
                else:
                    self._backlog.append((pending, due))

    # -- events ---------------------------------------------------------------------------------

    def publish_state(self, execution: Execution, now: Now) -> None:
        """Publish the present state of an execution, behind all replies."""
        self._unpublished_of(execution).append(execution.to_state_change(now.wall))
        if execution.finished_at is not None and execution.started_at is not None:
            self._logged.append(execution.execution_id)

    def publish(self, execution: Execution, events: Sequence[ExecutionEvent]) -> None:
        """Publish events behind all replies, and buffer them."""
        self._unpublished_of(execution).extend(events)

    def flush(self) -> None:
        """Publish the events of this round, and drop the events and logs of evicted records."""
        effects = self._effects
        if self._unpublished:
            unpublished, self._unpublished = self._unpublished, []
            for execution, events in unpublished:
                name = execution.execution_id
                self._events.extend(name, events)
                effects.append(Publish(execution.client_id, name, tuple(events)))
        while len(self._logged) > _LOGS_KEPT:
            name = self._logged.popleft()
            known = self._engine.get(name)  # Its id may have been used anew.
            if known is not None and known.status.is_terminal and not self.keeps_logs:
                effects.append(ForgetLog(name))
        for name in self._engine.take_dropped():
            self._events.drop(name)
            if not self.keeps_logs:
                effects.append(ForgetLog(name))

    def _unpublished_of(self, execution: Execution) -> list[ExecutionEvent]:
        last = self._unpublished[-1][0] if self._unpublished else None
        if last is None or last.execution_id != execution.execution_id:
            self._unpublished.append((execution, []))
        return self._unpublished[-1][1]

    # -- one reply ------------------------------------------------------------------------------

    def _send_or_hold(
        self, pending: PendingReply, execution: Execution, wait_seconds: float, now: Now
    ) -> None:
        if not wait_seconds or execution.status.is_terminal:
            self._send(pending, execution)
        elif not self._pending.add(pending):
            self.reply(pending.caller, too_many_held(), execution.execution_id)
        else:
            self._timers.set(pending, now.monotonic + wait_seconds)

    def _get_kept(self, pending: PendingReply) -> Execution:
        execution = self._engine.get(pending.execution_id)
        assert execution is not None  # Replies are held only about executions that go on.
        return execution

    def _send(self, pending: PendingReply, execution: Execution) -> int:
        """Send a reply about an execution, and return its approximate length."""
        caller, result = pending.caller, execution.result
        if result is not None and len(result) >= LARGE_REPLY_BYTES and self._has_record(pending):
            compose = partial(self._compose_later, pending)
            self._effects.append(LargeReply(caller, compose, execution.execution_id))
            return len(result)
        position = self._position_of(execution)
        if pending.also and execution.status.is_terminal:
            frame = self._compose_with(pending.also, execution, position, caller.request_id)
        else:
            frame = pending.compose(execution, position, caller.request_id)
        self._effects.append(Reply(caller, frame, execution.execution_id))
        if execution.finished_at is not None and self._has_record(pending):
            self._engine.mark_read(execution.execution_id)
        return len(frame)

    def _position_of(self, execution: Execution) -> int | None:
        if execution.status is not ExecutionStatus.QUEUED:
            return None
        return self._engine.position(execution.execution_id)

    def _compose_with(
        self,
        names: Sequence[str],
        execution: Execution,
        position: int | None,
        request_id: str | None,
    ) -> bytes:
        """Return the record of an execution, with those of others that have ended, as they fit."""
        found = map(self._engine.get, names)
        ended = [one for one in found if one is not None and one.status.is_terminal]
        records = list(compose_records(ended, self._name_log))
        for one in ended[: len(records)]:
            self._engine.mark_read(one.execution_id)
        return self._snapshot(execution, position, request_id, also=records)

    def _has_record(self, pending: PendingReply) -> bool:
        return pending.compose is not self._accepted and pending.compose is not self._duplicate

    def _compose_later(self, pending: PendingReply) -> bytes:
        """Return the reply about an ended execution when there is room to send it."""
        execution, request_id = self._engine.get(pending.execution_id), pending.caller.request_id
        if execution is None or not execution.status.is_terminal:
            return encode_with_id(evicted_while_waiting(pending.execution_id), request_id)
        frame = pending.compose(execution, None, request_id)
        self._engine.mark_read(execution.execution_id)
        return frame
