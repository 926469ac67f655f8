"""Which events of which executions have come: what is new, what came twice, what is missing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Final

from zmqruntime.messages import SEQUENCE_GAP, ProgressEvent, StateEvent

__all__ = ["Doubts", "Sequences", "Step"]

# A little less: somebody has heard of more than was written. And far above what a task reports.
_RESTART: Final = SEQUENCE_GAP // 2

# So many executions are watched; those that were heard of last.
_MAX_WATCHED = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """What lies between an event and the last one before it."""

    missed: int
    """How many events are known to be missing."""
    restarted: bool
    """Whether a server was started again in between: how many it had sent before is not known."""


_NEXT: Final = Step(0, restarted=False)
_RESTARTED: Final = Step(0, restarted=True)


class Sequences:
    """The number of the last event of each execution, for those that were heard of last."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()
        self._ended: set[str] = set()

    def expect(self, execution_id: str) -> None:
        """Watch an execution from its first event on: it is about to be submitted."""
        if execution_id not in self._last or execution_id in self._ended:
            self._ended.discard(execution_id)
            self._remember(execution_id, 0)

    def follows(self, event: ProgressEvent | StateEvent) -> bool:
        """Note an event if it is the next one of an execution that is watched: most are."""
        name = event.execution_id
        if self._last.get(name) != event.sequence - 1 or name in self._ended:
            return False
        # As `_note` does, in place: it is for every event of a flood.
        self._last[name] = event.sequence
        self._last.move_to_end(name)
        if isinstance(event, StateEvent) and event.status.is_terminal:
            self._ended.add(name)
        return True

    def gap_before(self, event: ProgressEvent | StateEvent) -> int | None:
        """Return the number of the last one, when some between it and ``event`` are missing."""
        last = self._last_before(event)
        return last if event.sequence > last + 1 else None

    def take(self, event: ProgressEvent | StateEvent) -> Step | None:
        """Note an event; return what lies before it, or None when it is not new."""
        last = self._last_before(event)
        if event.sequence <= last:
            return None
        self._ended.discard(event.execution_id)
        self._note(event)
        missed = event.sequence - last - 1
        if missed >= _RESTART:
            return _RESTARTED
        return Step(missed, restarted=False) if missed else _NEXT

    def unfinished(self) -> list[tuple[str, int]]:
        """Return what goes on, as far as is known, each with the number of its last event."""
        return [(name, last) for name, last in self._last.items() if name not in self._ended]

    def no_more_than(self, execution_id: str, last: int) -> None:
        """Correct a number: a server that was started again may count from an earlier one."""
        if self._last.get(execution_id, 0) > last:
            self._last[execution_id] = last

    def forget(self, execution_id: str) -> None:
        """Watch an execution no more."""
        self._last.pop(execution_id, None)
        self._ended.discard(execution_id)

    def _last_before(self, event: ProgressEvent | StateEvent) -> int:
        # Of one unknown so far nothing is missed: it went on before anybody listened. A name
        # that comes again after its end begins anew.
        last = self._last.get(event.execution_id, event.sequence - 1)
        begins_anew = event.sequence == 1 and event.execution_id in self._ended
        return 0 if begins_anew else last

    def _note(self, event: ProgressEvent | StateEvent) -> None:
        self._remember(event.execution_id, event.sequence)
        if isinstance(event, StateEvent) and event.status.is_terminal:
            self._ended.add(event.execution_id)

    def _remember(self, execution_id: str, sequence: int) -> None:
        self._last[execution_id] = sequence
        self._last.move_to_end(execution_id)
        if len(self._last) > _MAX_WATCHED:
            self._ended.discard(self._last.popitem(last=False)[0])


class Doubts:
    """Answers of a server that have holes in them.

    An answer may overtake events that are on their way; of many of them the server keeps only the
    latest. So a hole is believed when nothing has come of its execution by the next look.
    """

    def __init__(self) -> None:
        self._last_look: dict[str, int] = {}
        self._this_look: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether there was a hole in an answer at the last look."""
        return bool(self._last_look)

    def sift(
        self, execution_id: str, last: int, events: Sequence[ProgressEvent | StateEvent]
    ) -> Sequence[ProgressEvent | StateEvent]:
        """Return the events that are to be believed now; ``last`` is the latest that has come."""
        if self._last_look.get(execution_id) == last:
            return events
        numbers = count(last + 1)
        unbroken = list(takewhile(lambda event: event.sequence == next(numbers), events))
        if len(unbroken) < len(events):
            self._this_look[execution_id] = last + len(unbroken)
        return unbroken

    def end_look(self) -> None:
        """Note that all have been asked about."""
        self._last_look, self._this_look = self._this_look, {}
