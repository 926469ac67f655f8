"""`RecordedProgress`: a progress callback that stores events and waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from zmqruntime.messages import ProgressEvent, StateEvent
from zmqruntime.testing.errors import check_open

__all__ = ["RecordedProgress"]

_Event = ProgressEvent | StateEvent


class RecordedProgress:
    """Records progress: ``execution_client(server, progress_callback=recorded)``.

    Events arrive in a thread of the client; the waiting methods are notified of each.
    """

    def __init__(self) -> None:
        self._closed = False
        self._events: list[_Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: _Event) -> None:
        """Record an event; called by the client as its ``progress_callback``."""
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    @property
    def events(self) -> list[_Event]:
        """All events so far, in order of arrival."""
        check_open(self._closed, "recorded_progress")
        with self._changed:
            return list(self._events)

    @property
    def progress(self) -> list[ProgressEvent]:
        """All progress events so far, without state events."""
        return [event for event in self.events if isinstance(event, ProgressEvent)]

    def of(self, execution_id: str) -> list[_Event]:
        """Return the events of one execution so far."""
        return [event for event in self.events if event.execution_id == execution_id]

    def wait_for(
        self, condition: Callable[[Sequence[_Event]], bool], timeout: float = 10.0
    ) -> list[_Event]:
        """Wait until the events so far satisfy a condition, and return them.

        Raises:
            AssertionError: they do not within ``timeout`` seconds; the message lists the events.
        """
        check_open(self._closed, "recorded_progress")
        with self._changed:
            if self._changed.wait_for(lambda: condition(self._events), timeout):
                return list(self._events)
            received = "\n".join(f"  {event}" for event in self._events) or "  none"
        raise AssertionError(
            f"the condition was not satisfied within {timeout:g} s; events:\n{received}"
        )

    def until_end(self, execution_id: str, timeout: float = 10.0) -> list[_Event]:
        """Wait for the terminal state event of an execution, and return all its events."""
        self.wait_for(lambda events: any(_is_terminal(e, execution_id) for e in events), timeout)
        return self.of(execution_id)

    def close(self) -> None:
        """Make later reads raise `UsedAfterTest`; later events are ignored by tests."""
        self._closed = True


def _is_terminal(event: _Event, execution_id: str) -> bool:
    return (
        isinstance(event, StateEvent)
        and event.execution_id == execution_id
        and event.status.is_terminal
    )
