"""Timers: a heap of deadlines by key, and the keys that the scheduler uses."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from zmqruntime.execution.core.pending_replies import PendingReply

__all__ = ["Deadlines", "Retry", "SchedulerTimer", "SlotDeadline", "SlotTimer", "Timers"]

_K = TypeVar("_K", bound=Hashable)

_SLACK = 64


class Timers(Generic[_K]):
    """A heap of deadlines. Cancelled entries are removed when they outnumber the others."""

    def __init__(self) -> None:
        self._deadlines: dict[_K, float] = {}
        self._heap: list[tuple[float, int, _K]] = []
        self._count = 0

    @property
    def next(self) -> float | None:
        """The earliest deadline."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def __contains__(self, key: object) -> bool:
        """Whether ``key`` has a deadline."""
        return key in self._deadlines

    def set(self, key: _K, when: float) -> None:
        """Set the deadline of ``key``; an earlier one is replaced."""
        self._deadlines[key] = when
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, key))
        if len(self._heap) > 2 * len(self._deadlines) + _SLACK:
            when_of = self._deadlines.get
            self._heap = [entry for entry in self._heap if when_of(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def cancel(self, key: _K) -> None:
        """Remove the deadline of ``key``, if it has one."""
        self._deadlines.pop(key, None)

    def take_due(self, now: float, limit: int) -> list[_K]:
        """Remove and return up to ``limit`` due keys, by deadline and then in the order of `set`.

        `next` stays in the past while more are due.
        """
        due: list[_K] = []
        while len(due) < limit and (when := self.next) is not None and when <= now:
            key = heapq.heappop(self._heap)[2]
            del self._deadlines[key]
            due.append(key)
        return due

    def _is_stale(self, entry: tuple[float, int, _K]) -> bool:
        return self._deadlines.get(entry[2]) != entry[0]


class SchedulerTimer(StrEnum):
    """The deadlines of a scheduler as a whole."""

    COMMIT = "a failed commit is tried again"
    LAG = "changes that may be committed late have waited long enough"
    SLICE = "work that was too much for one round of the loop continues in the next one"


class SlotTimer(StrEnum):
    """The deadlines of a worker slot."""

    GRACE = "the grace period of an interrupted task is over"
    RESTART = "the backoff before the next start of a worker is over"
    TIMEOUT = "the time limit of the task is reached"


class SlotDeadline(NamedTuple):
    """The key of a slot's deadline."""

    slot: int
    timer: SlotTimer


class Retry(NamedTuple):
    """The key of the backoff of an execution that failed."""

    execution_id: str


Deadlines = Timers[SchedulerTimer | SlotDeadline | Retry | PendingReply]
"""All timers of a scheduler; a `PendingReply` is the key of its own deadline."""
