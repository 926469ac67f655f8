"""The events of one execution, handed from the subscriber's thread to whoever reads them."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from zmqruntime.messages import ProgressEvent, StateEvent

__all__ = ["EventStream", "StreamGroup"]

_Event = ProgressEvent | StateEvent

_MAX_EVENTS = 10_000


class EventStream:
    """A bounded buffer between two threads; when it is full, the oldest events go first."""

    def __init__(self, group: StreamGroup | None = None) -> None:
        self._group = group  # Lives as long as one of its streams.
        self._events: deque[_Event] = deque(maxlen=_MAX_EVENTS)
        self._lock = threading.Lock()
        # Made by the reader: most streams of a client that submits many have none.
        self._changed: threading.Condition | None = None
        self._disturbed = False
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing will come any more."""
        return self._closed

    def put(self, events: Iterable[_Event]) -> None:
        """Append events; wake the reader up."""
        with self._lock:
            self._events.extend(events)
            self._wake_up()

    def disturb(self) -> None:
        """Wake the reader up: events may be missing, so that it should ask for the status."""
        with self._lock:
            self._disturbed = True
            self._wake_up()

    def close(self) -> None:
        """Wake the reader up, now and whenever it comes back: nothing will come any more."""
        with self._lock:
            self._closed = True
            self._wake_up()

    def take(self, timeout: float) -> list[_Event]:
        """Return what there is.

        Nothing when it was disturbed, is closed, or after ``timeout`` seconds.
        """
        with self._lock:
            changed = self._changed = self._changed or threading.Condition(self._lock)
            changed.wait_for(lambda: self._events or self._disturbed or self._closed, timeout)
            events = list(self._events)
            self._events.clear()
            if not events:
                self._disturbed = False
            return events

    def _wake_up(self) -> None:
        if self._changed is not None:
            self._changed.notify()


class StreamGroup:
    """The streams of one execution, one for each reader that still has it."""

    def __init__(self) -> None:
        self._streams: tuple[weakref.ref[EventStream], ...] = ()

    def open(self) -> EventStream:
        """Return a new stream. For one thread at a time."""
        stream = EventStream(self)
        self._streams = (*(s for s in self._streams if s() is not None), weakref.ref(stream))
        return stream

    def put(self, events: Sequence[_Event]) -> None:
        """Append events to each; another thread may open one meanwhile."""
        for stream in self._living():
            stream.put(events)

    def disturb(self) -> None:
        """Wake every reader up."""
        for stream in self._living():
            stream.disturb()

    def close(self) -> None:
        """Tell every reader that nothing will come any more."""
        for stream in self._living():
            stream.close()

    def _living(self) -> Iterator[EventStream]:
        for reference in self._streams:
            if (stream := reference()) is not None:
                yield stream
