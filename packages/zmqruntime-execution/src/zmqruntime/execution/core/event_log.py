"""The latest events of each execution, for subscribers that missed some; bounded in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from zmqruntime.execution.lifecycle.events import StateChange
from zmqruntime.transport.lowlevel import check_number

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.events import ExecutionEvent

__all__ = ["EventLog"]

_EVENT_BYTES: Final = 250
"""About what an event costs besides the part of the task."""
_FEW: Final = 64
"""Up to so many events of an execution, their size is not tracked: most have a few small ones."""


class EventLog:
    """Buffers the latest events of every execution, up to a number and a size.

    Beyond ``max_bytes`` it evicts the least recently updated execution first. The events of an
    execution that leaves history are dropped.

    Args:
        kept: how many events of each execution; an eighth more may be there.
        max_bytes: the approximate size of all events.
        max_execution_bytes: the approximate size of the events of one execution, if there are more
            than a few.
    """

    def __init__(
        self,
        kept: int = 1000,
        max_bytes: int = 32 * 1024 * 1024,
        max_execution_bytes: int = 4 * 1024 * 1024,
    ) -> None:
        check_number("events_kept", kept, ge=0, whole=True)
        self._kept = kept
        self._slack = kept // 8  # Cutting the front of a list is linear, so it is done rarely.
        self._max_bytes = max_bytes
        self._max_execution_bytes = max_execution_bytes
        self._bytes = 0
        self._sizes: dict[str, int] = {}
        """The size of the events of each execution that has more than a few."""
        # Lists: most executions have few events, and a deque allocates room for 64.
        self._events: OrderedDict[str, list[ExecutionEvent]] = OrderedDict()

    def extend(self, execution_id: str, new: Sequence[ExecutionEvent]) -> None:
        """Append an execution's next events."""
        events = self._events.get(execution_id)
        if events is None:
            events = self._events[execution_id] = []
        else:
            self._events.move_to_end(execution_id)
        events += new
        cost = _cost(new)
        self._bytes += cost
        if len(events) > _FEW:
            known = self._sizes.get(execution_id)
            size = self._sizes[execution_id] = _cost(events) if known is None else known + cost
            if size > self._max_execution_bytes:
                self._cut(execution_id, events, (len(events) + 1) // 2)
        if len(events) > self._kept + self._slack:
            self._cut(execution_id, events, len(events) - self._kept)
        if self._bytes > self._max_bytes:
            self._shrink()

    def first_kept(self, execution_id: str) -> int | None:
        """Return the number of the oldest buffered event of an execution."""
        events = self._events.get(execution_id)
        return events[0].sequence if events else None

    def take(self, execution_id: str, after_sequence: int, limit: int) -> Sequence[ExecutionEvent]:
        """Return up to ``limit`` buffered events of an execution behind a number."""
        events = self._events.get(execution_id)
        if not events:
            return ()
        first = max(0, after_sequence + 1 - events[0].sequence)
        return events[first : first + limit]

    def drop(self, execution_id: str) -> None:
        """Drop all events of an execution, if there are any."""
        events = self._events.pop(execution_id, None)
        if events:
            self._cut(execution_id, events, len(events))

    def _shrink(self) -> None:
        while self._bytes > self._max_bytes:
            oldest, events = next(iter(self._events.items()))
            if len(self._events) > 1:
                self.drop(oldest)
            else:
                self._cut(oldest, events, (len(events) + 1) // 2)

    def _cut(self, execution_id: str, events: list[ExecutionEvent], count: int) -> None:
        """Remove the oldest ``count`` events of an execution."""
        cost = _cost(events[:count])
        self._bytes -= cost
        del events[:count]
        if len(events) <= _FEW:
            self._sizes.pop(execution_id, None)
        elif execution_id in self._sizes:
            self._sizes[execution_id] -= cost


def _cost(events: Sequence[ExecutionEvent]) -> int:
    cost = _EVENT_BYTES * len(events)
    for event in events:
        if not isinstance(event, StateChange):  # The error of a state change is the record's own.
            cost += len(event.body)
    return cost
