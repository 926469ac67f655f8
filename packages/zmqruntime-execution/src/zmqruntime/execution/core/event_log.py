"""The latest events of each execution, for subscribers who missed some; bounded in memory."""

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
"""About what an event costs beside what the task put into it."""
_FEW: Final = 64
"""Up to so many events of an execution, their size is not counted: most have a few small ones."""


class EventLog:
    """Keeps some events of every execution, and of all of them together no more than so much.

    An execution that leaves history takes its events along. Beyond ``max_bytes`` those go first
    whose execution was silent the longest: the record tells how that stands.

    Args:
        kept: how many of each execution; a few more may be there.
        max_bytes: how much all of them may take, about.
        max_execution_bytes: how much those of one execution may take, about, once there are more
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
        self._slack = kept // 8  # The front of a list is cut off rarely, and then for long.
        self._max_bytes = max_bytes
        self._max_execution_bytes = max_execution_bytes
        self._bytes = 0
        self._sizes: dict[str, int] = {}
        """What the events of an execution take, of those that have more than a few."""
        # A list each: most have one event, and a deque has room for 64 from the start.
        self._events: OrderedDict[str, list[ExecutionEvent]] = OrderedDict()

    def extend(self, execution_id: str, next_ones: Sequence[ExecutionEvent]) -> None:
        """Keep an execution's next events."""
        events = self._events.get(execution_id)
        if events is None:
            events = self._events[execution_id] = []
        else:
            self._events.move_to_end(execution_id)
        events += next_ones
        cost = _cost(next_ones)
        self._bytes += cost
        if len(events) > _FEW:
            known = self._sizes.get(execution_id)
            size = self._sizes[execution_id] = _cost(events) if known is None else known + cost
            if size > self._max_execution_bytes:
                self._drop(execution_id, events, (len(events) + 1) // 2)
        if len(events) > self._kept + self._slack:
            self._drop(execution_id, events, len(events) - self._kept)
        if self._bytes > self._max_bytes:
            self._shrink()

    def first_kept(self, execution_id: str) -> int | None:
        """Return the number of the oldest that is kept of an execution."""
        events = self._events.get(execution_id)
        return events[0].sequence if events else None

    def take(self, execution_id: str, after_sequence: int, limit: int) -> Sequence[ExecutionEvent]:
        """Return up to ``limit`` of an execution's events behind a number, as far as kept."""
        events = self._events.get(execution_id)
        if not events:
            return ()
        first = max(0, after_sequence + 1 - events[0].sequence)
        return events[first : first + limit]

    def forget(self, execution_id: str) -> None:
        """Drop all of an execution's events, if there are any."""
        events = self._events.pop(execution_id, None)
        if events:
            self._drop(execution_id, events, len(events))

    def _shrink(self) -> None:
        while self._bytes > self._max_bytes:
            longest_silent, events = next(iter(self._events.items()))
            if len(self._events) > 1:
                self.forget(longest_silent)
            else:
                self._drop(longest_silent, events, (len(events) + 1) // 2)

    def _drop(self, execution_id: str, events: list[ExecutionEvent], count: int) -> None:
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
        if not isinstance(event, StateChange):  # Whose error is the record's own, too.
            cost += len(event.body)
    return cost
