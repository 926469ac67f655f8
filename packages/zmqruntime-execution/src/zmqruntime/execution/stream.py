"""The events of one execution, handed from the subscriber's thread to whoever reads them."""

from __future__ import annotations

import threading
from collections import deque

from zmqruntime.messages import ProgressEvent, StateEvent

__all__ = ["EventStream"]

_MAX_EVENTS = 10_000


class EventStream:
    """A bounded buffer between two threads; when it is full, the oldest events go first."""

    def __init__(self) -> None:
        self._events: deque[ProgressEvent | StateEvent] = deque(maxlen=_MAX_EVENTS)
        self._changed = threading.Condition()
        self._disturbed = False

    def put(self, event: ProgressEvent | StateEvent) -> None:
        """Append an event."""
        with self._changed:
            self._events.append(event)
            self._changed.notify()

    def disturb(self) -> None:
        """Wake the reader up: events may be missing, so that it should ask for the status."""
        with self._changed:
            self._disturbed = True
            self._changed.notify()

    def get(self, timeout: float) -> ProgressEvent | StateEvent | None:
        """Return the next event; None when it was disturbed, or after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._disturbed, timeout)
            if self._events:
                return self._events.popleft()
            self._disturbed = False
            return None
