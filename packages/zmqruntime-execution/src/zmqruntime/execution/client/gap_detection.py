"""Duplicate and gap detection in the events of executions, by their sequence numbers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Final

from zmqruntime.messages import SEQUENCE_GAP, ProgressEvent, StateEvent

__all__ = ["Gap", "GapDetector", "UnconfirmedGaps"]

# A restarted server skips SEQUENCE_GAP numbers, counted from the last one in its journal, which
# may be older than the last one published. No task reports half as many events in between.
_RESTART_GAP: Final = SEQUENCE_GAP // 2

# The least recently updated executions beyond this number are forgotten.
_MAX_WATCHED = 10_000


@dataclass(frozen=True, slots=True)
class Gap:
    """What lies between an event and its predecessor; nothing for consecutive ones."""

    missed: int
    """The known number of missing events."""
    restarted: bool
    """Whether the server was restarted in between; the number of missing events is unknown then."""


_NO_GAP: Final = Gap(0, restarted=False)
_RESTARTED: Final = Gap(0, restarted=True)


class GapDetector:
    """The last sequence number of each execution; of the most recently updated executions."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()
        self._ended: set[str] = set()

    def expect(self, execution_id: str) -> None:
        """Watch an execution from its first event; call this before it is submitted."""
        if execution_id not in self._last or execution_id in self._ended:
            self._ended.discard(execution_id)
            self._remember(execution_id, 0)

    def accept_next(self, event: ProgressEvent | StateEvent) -> bool:
        """Record an event if it is the next one of a watched execution; the fast path."""
        name = event.execution_id
        if self._last.get(name) != event.sequence - 1 or name in self._ended:
            return False
        # `_record`, inlined: this runs for every event of a flood.
        self._last[name] = event.sequence
        self._last.move_to_end(name)
        if isinstance(event, StateEvent) and event.status.is_terminal:
            self._ended.add(name)
        return True

    def find_gap(self, event: ProgressEvent | StateEvent) -> int | None:
        """Return the last number before ``event`` if events between them are missing."""
        last = self._last_before(event)
        return last if event.sequence > last + 1 else None

    def accept(self, event: ProgressEvent | StateEvent) -> Gap | None:
        """Record an event and return the gap before it; None for a duplicate."""
        last = self._last_before(event)
        if event.sequence <= last:
            return None
        self._ended.discard(event.execution_id)
        self._record(event)
        missed = event.sequence - last - 1
        if missed >= _RESTART_GAP:
            return _RESTARTED
        return Gap(missed, restarted=False) if missed else _NO_GAP

    def list_unfinished(self) -> list[tuple[str, int]]:
        """Return the executions without a terminal event, each with its last sequence number."""
        return [(name, last) for name, last in self._last.items() if name not in self._ended]

    def lower_last(self, execution_id: str, last: int) -> None:
        """Lower a number to ``last``: a restarted server may continue from an earlier one."""
        if self._last.get(execution_id, 0) > last:
            self._last[execution_id] = last

    def forget(self, execution_id: str) -> None:
        """Stop watching an execution."""
        self._last.pop(execution_id, None)
        self._ended.discard(execution_id)

    def _last_before(self, event: ProgressEvent | StateEvent) -> int:
        # Nothing is missing before the first event of an unknown execution: it may have begun
        # before the subscription. An id that is reused after its end starts again at 1.
        last = self._last.get(event.execution_id, event.sequence - 1)
        is_reused = event.sequence == 1 and event.execution_id in self._ended
        return 0 if is_reused else last

    def _record(self, event: ProgressEvent | StateEvent) -> None:
        self._remember(event.execution_id, event.sequence)
        if isinstance(event, StateEvent) and event.status.is_terminal:
            self._ended.add(event.execution_id)

    def _remember(self, execution_id: str, sequence: int) -> None:
        self._last[execution_id] = sequence
        self._last.move_to_end(execution_id)
        if len(self._last) > _MAX_WATCHED:
            self._ended.discard(self._last.popitem(last=False)[0])


class UnconfirmedGaps:
    """Gaps in replayed events that events in transit may still fill.

    A reply may overtake published events, of which the server keeps only the latest for a replay.
    A gap is confirmed when no event of its execution has arrived by the next pass.
    """

    def __init__(self) -> None:
        self._previous_pass: dict[str, int] = {}
        self._current_pass: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether the last pass found a gap."""
        return bool(self._previous_pass)

    def drop_unconfirmed(
        self, execution_id: str, last: int, events: Sequence[ProgressEvent | StateEvent]
    ) -> Sequence[ProgressEvent | StateEvent]:
        """Return replayed events up to the first unconfirmed gap.

        Args:
            execution_id: the execution of the events.
            last: the last sequence number that has arrived.
            events: the reply to a replay behind ``last``.
        """
        if self._previous_pass.get(execution_id) == last:
            return events
        numbers = count(last + 1)
        unbroken = list(takewhile(lambda event: event.sequence == next(numbers), events))
        if len(unbroken) < len(events):
            self._current_pass[execution_id] = last + len(unbroken)
        return unbroken

    def end_pass(self) -> None:
        """Begin the next pass."""
        self._previous_pass, self._current_pass = self._current_pass, {}
