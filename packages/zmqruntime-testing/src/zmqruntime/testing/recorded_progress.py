"""Progress as a test wants it: kept, and waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from zmqruntime.messages import ProgressEvent, StateEvent
from zmqruntime.testing.errors import check_open

__all__ = ["RecordedProgress"]

_Event = ProgressEvent | StateEvent


class RecordedProgress:
    """A progress callback that remembers: ``execution_client(s, progress_callback=recorded)``.

    Events come in a thread of the client's own; the methods that wait return as soon as what
    they wait for is there.
    """

    def __init__(self) -> None:
        self._closed = False
        self._events: list[_Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: _Event) -> None:
        """Take an event, as a client's ``progress_callback``."""
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    @property
    def events(self) -> list[_Event]:
        """All that came so far, in order."""
        check_open(self._closed, "recorded_progress")
        with self._changed:
            return list(self._events)

    @property
    def progress(self) -> list[ProgressEvent]:
        """What the tasks reported so far, without the changes of state."""
        return [event for event in self.events if isinstance(event, ProgressEvent)]

    def of(self, execution_id: str) -> list[_Event]:
        """Return what came so far of one execution."""
        return [event for event in self.events if event.execution_id == execution_id]

    def wait_for(
        self, condition: Callable[[Sequence[_Event]], bool], timeout: float = 10.0
    ) -> list[_Event]:
        """Wait until the events so far fulfil a condition, and return them.

        Raises:
            AssertionError: they do not within ``timeout`` seconds; the message lists them.
        """
        check_open(self._closed, "recorded_progress")
        with self._changed:
            if self._changed.wait_for(lambda: condition(self._events), timeout):
                return list(self._events)
            came = "\n".join(f"  {event}" for event in self._events) or "  none"
        raise AssertionError(f"what was awaited has not come within {timeout:g} s; events:\n{came}")

    def until_end(self, execution_id: str, timeout: float = 10.0) -> list[_Event]:
        """Wait for the last event of an execution, and return all that came of it."""
        self.wait_for(lambda events: any(_is_end(e, execution_id) for e in events), timeout)
        return self.of(execution_id)

    def close(self) -> None:
        """End: what comes later is nobody's, and whoever asks is told so."""
        self._closed = True


def _is_end(event: _Event, execution_id: str) -> bool:
    return (
        isinstance(event, StateEvent)
        and event.execution_id == execution_id
        and event.status.is_terminal
    )
