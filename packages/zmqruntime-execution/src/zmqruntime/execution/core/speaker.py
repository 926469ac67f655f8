"""What the scheduler says: replies now or later, events to whoever listens, and who waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from zmqruntime.execution.core import answers
from zmqruntime.execution.core.effects import (
    Effect,
    ForgetLog,
    LargeReply,
    Publish,
    Reply,
)
from zmqruntime.execution.core.event_log import EventLog
from zmqruntime.execution.core.frames import (
    NameLog,
    compose_accepted,
    compose_kept_events,
    compose_records,
    compose_snapshot,
)
from zmqruntime.execution.core.waiting import WaitingCaller, WaitingCallers
from zmqruntime.execution.lifecycle.engine import LifecycleEngine
from zmqruntime.execution.lifecycle.events import ExecutionEvent
from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages.lowlevel import encode_with_id
from zmqruntime.transport.lowlevel import LARGE_REPLY_BYTES

if TYPE_CHECKING:
    from zmqruntime.execution.core.events import (
        EventsRequested,
        Now,
        StatusRequested,
        Submitted,
    )
    from zmqruntime.execution.core.timers import Timers
    from zmqruntime.messages import Reply as ReplyMessage
    from zmqruntime.transport import Caller

__all__ = ["SLICE", "Speaker"]

SLICE: Final = 50
"""How many executions or held replies one round of the loop works off: 1 to 5 ms of work."""

_SLICE_BYTES: Final = 2**20
_LOGS_KEPT: Final = 10_000
"""Of how many ended executions logs are kept: more records may wait for their reader."""

# So many held replies on one execution are part of its end; more of them follow in slices.
_FEW: Final = 4


class Speaker:
    """Answers callers, holds replies for those who wait, and tells of events behind all that.

    Args:
        engine: keeps the executions.
        timers: wakes who has waited long enough, and others.
        events: keeps the latest events for those who missed some.
        name_log: tells where the output of an execution goes.
    """

    def __init__(
        self,
        engine: LifecycleEngine,
        timers: Timers[Any],
        events: EventLog,
        name_log: NameLog,
    ) -> None:
        self.perform: Callable[[Effect], None]
        """Does one effect."""
        self.leaves_logs = False
        """Whether logs of dropped records are left to the end of the server, which removes all."""
        self._engine = engine
        self._timers = timers
        self._events = events
        self._waiting = WaitingCallers()
        self._backlog: deque[tuple[WaitingCaller, Execution]] = deque()
        """Held replies that are due, beyond what one round may send."""
        self._unpublished: list[tuple[Execution, list[ExecutionEvent]]] = []
        self._logged: deque[str] = deque()
        """Those that have ended and may have a log, the oldest first."""
        self._name_log = name_log
        self._snapshot = partial(compose_snapshot, name_log=name_log)
        self._accepted = partial(compose_accepted, name_log=name_log)
        self._duplicate = partial(compose_accepted, name_log=name_log, duplicate=True)
        self._held_accepted = partial(self._accepted, with_record=True)
        self._held_duplicate = partial(self._duplicate, with_record=True)

    # -- replies --------------------------------------------------------------------------------

    def reply(self, caller: Caller, message: ReplyMessage, execution_id: str | None = None) -> None:
        """Answer a caller."""
        self.perform(Reply(caller, encode_with_id(message, caller.request_id), execution_id))

    def may_hold(self, caller: Caller) -> bool:
        """Whether one more reply to this caller may be held until an execution has ended."""
        return self._waiting.may_add(caller)

    def accept(
        self, execution: Execution, event: Submitted, now: Now, *, duplicate: bool = False
    ) -> None:
        """Tell that an execution is in the server's care, with its record if that is awaited."""
        wait_seconds = event.request.wait_seconds
        if wait_seconds:
            compose = self._held_duplicate if duplicate else self._held_accepted
        else:
            compose = self._duplicate if duplicate else self._accepted
        waiting = WaitingCaller(execution.execution_id, event.caller, compose)
        self._tell(waiting, execution, wait_seconds, now)

    def show(self, execution: Execution, event: StatusRequested, now: Now) -> None:
        """Tell everything of an execution, when it has ended or the time is up."""
        request = event.request
        waiting = WaitingCaller(execution.execution_id, event.caller, self._snapshot, request.also)
        self._tell(waiting, execution, request.wait_seconds, now)

    def show_events(self, execution: Execution, event: EventsRequested) -> None:
        """Tell the events that are kept of an execution."""
        request, caller = event.request, event.caller
        name = execution.execution_id
        events = self._events.take(name, request.after_sequence, request.limit)
        first = self._events.first_kept(name)
        frame = compose_kept_events(execution, events, first, caller.request_id)
        self.perform(Reply(caller, frame, name))

    def time_is_up(self, waiting: WaitingCaller) -> None:
        """Tell a caller how it stands: it has waited long enough."""
        self._waiting.remove(waiting)
        self._reply_on(waiting, self._get_kept(waiting))

    @property
    def has_backlog(self) -> bool:
        """Whether held replies are due that no round has sent yet."""
        return bool(self._backlog)

    def list_awaited(self, limit: int) -> list[str]:
        """Return up to ``limit`` ids of executions on which replies are held."""
        return self._waiting.list_ids(limit)

    def answer_waiting(self, execution: Execution) -> bool:
        """Send the held replies on an execution, which has ended.

        Returns:
            Whether there are too many for one round: `answer_backlog` sends the others.
        """
        count = 0
        for waiting in self._waiting.take(execution.execution_id):
            self._timers.cancel(waiting)
            count += 1
            if count <= _FEW:
                self._reply_on(waiting, execution)
            else:
                self._backlog.append((waiting, execution))
        return count > _FEW

    def queue_all_waiting(self) -> None:
        """Make all held replies due, as the executions are now: the server ends."""
        for waiting in self._waiting.take_all():
            self._timers.cancel(waiting)
            self._backlog.append((waiting, self._get_kept(waiting)))

    def answer_backlog(self) -> None:
        """Send as many of the due replies as one round may send."""
        room = _SLICE_BYTES
        for _ in range(min(SLICE, len(self._backlog))):
            if room <= 0:
                break
            waiting, execution = self._backlog.popleft()
            room -= self._reply_on(waiting, execution)

    def refuse_waiting(self, execution: Execution, message: ReplyMessage) -> None:
        """Refuse all who wait for an execution, which is not kept after all."""
        name = execution.execution_id
        self._events.forget(name)
        if execution.attempts:
            self.perform(ForgetLog(name))
        for waiting in self._waiting.take(name):
            self._timers.cancel(waiting)
            self.reply(waiting.caller, message)
        if any(due is execution for _, due in self._backlog):
            backlog, self._backlog = self._backlog, deque()
            for waiting, due in backlog:
                if due is execution:
                    self.reply(waiting.caller, message)
                else:
                    self._backlog.append((waiting, due))

    # -- events ---------------------------------------------------------------------------------

    def publish_state(self, execution: Execution, now: Now) -> None:
        """Tell of an execution's move to where it is."""
        self._unpublished_of(execution).append(execution.to_state_change(now.wall))
        if execution.finished_at is not None and execution.started_at is not None:
            self._logged.append(execution.execution_id)

    def publish(self, execution: Execution, events: Sequence[ExecutionEvent]) -> None:
        """Tell of events, when all else is told, and keep them for those who miss them."""
        self._unpublished_of(execution).extend(events)

    def _unpublished_of(self, execution: Execution) -> list[ExecutionEvent]:
        last = self._unpublished[-1][0] if self._unpublished else None
        if last is None or last.execution_id != execution.execution_id:
            self._unpublished.append((execution, []))
        return self._unpublished[-1][1]

    def flush(self) -> None:
        """Publish what there is, behind everything that somebody waits for.

        And drop what is kept beside the records that have left history.
        """
        if self._unpublished:
            unpublished, self._unpublished = self._unpublished, []
            for execution, events in unpublished:
                name = execution.execution_id
                self._events.extend(name, events)
                self.perform(Publish(execution.client_id, name, tuple(events)))
        while len(self._logged) > _LOGS_KEPT:
            name = self._logged.popleft()
            known = self._engine.get(name)  # Its id may have been used anew.
            if known is not None and known.status.is_terminal and not self.leaves_logs:
                self.perform(ForgetLog(name))
        for name in self._engine.take_dropped():
            self._events.forget(name)
            if not self.leaves_logs:
                self.perform(ForgetLog(name))

    def _tell(
        self, waiting: WaitingCaller, execution: Execution, wait_seconds: float, now: Now
    ) -> None:
        if not wait_seconds or execution.status.is_terminal:
            self._reply_on(waiting, execution)
        elif not self._waiting.add(waiting):
            self.reply(waiting.caller, answers.too_many_held(), execution.execution_id)
        else:
            self._timers.set(waiting, now.monotonic + wait_seconds)

    def _get_kept(self, waiting: WaitingCaller) -> Execution:
        execution = self._engine.get(waiting.execution_id)
        assert execution is not None  # Only replies on what has not ended are held.
        return execution

    def _reply_on(self, waiting: WaitingCaller, execution: Execution) -> int:
        """Send a reply on an execution, and return how long it is, about."""
        caller, result = waiting.caller, execution.result
        if result is not None and len(result) >= LARGE_REPLY_BYTES and self._has_record(waiting):
            compose = partial(self._compose_late, waiting)
            self.perform(LargeReply(caller, compose, execution.execution_id))
            return len(result)
        place = answers.place_of(self._engine, execution)
        if waiting.also and execution.status.is_terminal:
            frame = self._compose_with(waiting.also, execution, place, caller.request_id)
        else:
            frame = waiting.compose(execution, place, caller.request_id)
        self.perform(Reply(caller, frame, execution.execution_id))
        if execution.finished_at is not None and self._has_record(waiting):
            self._engine.mark_read(execution.execution_id)
        return len(frame)

    def _compose_with(
        self,
        names: Sequence[str],
        execution: Execution,
        place: int | None,
        request_id: str | None,
    ) -> bytes:
        """Return the record of an execution with those of others that have ended, as they fit."""
        found = map(self._engine.get, names)
        ended = [one for one in found if one is not None and one.status.is_terminal]
        records = list(compose_records(ended, self._name_log))
        for one in ended[: len(records)]:
            self._engine.mark_read(one.execution_id)
        return self._snapshot(execution, place, request_id, also=records)

    def _has_record(self, waiting: WaitingCaller) -> bool:
        return waiting.compose is not self._accepted and waiting.compose is not self._duplicate

    def _compose_late(self, waiting: WaitingCaller) -> bytes:
        """Return the reply on an execution that had ended, when its turn has come."""
        execution, request_id = self._engine.get(waiting.execution_id), waiting.caller.request_id
        if execution is None or not execution.status.is_terminal:
            return encode_with_id(answers.left_meanwhile(waiting.execution_id), request_id)
        frame = waiting.compose(execution, None, request_id)
        self._engine.mark_read(execution.execution_id)
        return frame
