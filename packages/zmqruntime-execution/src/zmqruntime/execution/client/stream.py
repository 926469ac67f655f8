"""Event buffers between the subscriber's thread and the threads that read `progress()`."""

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
    """A bounded buffer of one execution's events for one reader; when full, drops the oldest."""

    def __init__(self, group: StreamGroup | None = None) -> None:
        self._group = group  # Keeps the group alive as long as one of its streams.
        self._events: deque[_Event] = deque(maxlen=_MAX_EVENTS)
        self._lock = threading.Lock()
        # Created by the first `take`: most streams of a client that submits many are never read.
        self._changed: threading.Condition | None = None
        self._check_requested = False
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether no further event will arrive."""
        return self._closed

    def put(self, events: Iterable[_Event]) -> None:
        """Append events and wake the reader."""
        with self._lock:
            self._events.extend(events)
            self._notify()

    def request_check(self) -> None:
        """Wake the reader to check the status, because events may be missing."""
        with self._lock:
            self._check_requested = True
            self._notify()

    def close(self) -> None:
        """Wake the reader; later calls of `take` do not block."""
        with self._lock:
            self._closed = True
            self._notify()

    def take(self, timeout: float) -> list[_Event]:
        """Remove and return all events, waiting up to ``timeout`` seconds for the first.

        Empty after the timeout, after `request_check`, or when the stream is closed.
        """
        with self._lock:
            changed = self._changed = self._changed or threading.Condition(self._lock)
            changed.wait_for(lambda: self._events or self._check_requested or self._closed, timeout)
            events = list(self._events)
            self._events.clear()
            if not events:
                self._check_requested = False
            return events

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.notify()


class StreamGroup:
    """The streams of one execution, held by weak references: a reader drops its own."""

    def __init__(self) -> None:
        self._streams: tuple[weakref.ref[EventStream], ...] = ()

    def open(self) -> EventStream:
        """Return a new stream. Calls must not overlap."""
        stream = EventStream(self)
        self._streams = (*(s for s in self._streams if s() is not None), weakref.ref(stream))
        return stream

    def put(self, events: Sequence[_Event]) -> None:
        """Append events to every stream. Another thread may call `open` meanwhile."""
        for stream in self._list_streams():
            stream.put(events)

    def request_check(self) -> None:
        """Wake every reader to check the status."""
        for stream in self._list_streams():
            stream.request_check()

    def close(self) -> None:
        """Close every stream."""
        for stream in self._list_streams():
            stream.close()

    def _list_streams(self) -> Iterator[EventStream]:
        for reference in self._streams:
            if (stream := reference()) is not None:
                yield stream
