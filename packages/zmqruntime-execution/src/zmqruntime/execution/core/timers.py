"""Deadlines by key: set, moved, cancelled, and taken when they are due."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Timers"]

_K = TypeVar("_K", bound=Hashable)

_SLACK = 64


class Timers(Generic[_K]):
    """A heap of deadlines in which a cancelled one costs nothing for long."""

    def __init__(self) -> None:
        self._deadlines: dict[_K, float] = {}
        self._heap: list[tuple[float, int, _K]] = []
        self._count = 0

    @property
    def next(self) -> float | None:
        """When the first one is due."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def __contains__(self, key: object) -> bool:
        """Whether ``key`` is set, and was not yet taken."""
        return key in self._deadlines

    def set(self, key: _K, when: float) -> None:
        """Let ``key`` be due at ``when``, and at no other time."""
        self._deadlines[key] = when
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, key))
        if len(self._heap) > 2 * len(self._deadlines) + _SLACK:
            when_of = self._deadlines.get
            self._heap = [entry for entry in self._heap if when_of(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def cancel(self, key: _K) -> None:
        """Let ``key`` never be due; nothing to do when it is not set."""
        self._deadlines.pop(key, None)

    def take_due(self, now: float, limit: int) -> list[_K]:
        """Remove and return up to ``limit`` keys that are due, the earliest first.

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
