"""Ends the waits of a client that no socket wakes, as soon as the client is closed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import NotConnected

__all__ = ["CloseSignal"]


class CloseSignal:
    """Set once, when a client is closed. For any thread.

    Waits for replies are woken by the end of the ZeroMQ context instead.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # Reentrant, since a signal handler may close the client.
        self._changed = threading.Condition(threading.RLock())
        self._is_set = False

    @property
    def is_set(self) -> bool:
        """Whether the client was closed."""
        return self._is_set

    def set(self) -> None:
        """End every wait, now and later."""
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def make_error(self) -> NotConnected:
        """Return the error of calls that the close ends."""
        return NotConnected(f"the client of {self._endpoint} was disconnected")

    def pause(self, seconds: float) -> None:
        """Wait before a retry.

        Raises:
            NotConnected: the client was closed, before or meanwhile.
        """
        self._wait_for(lambda: False, seconds)

    def wait_for(self, action: Callable[[], object], deadline: Deadline, thread_name: str) -> bool:
        """Run a blocking action, which knows no timeout, in a daemon thread; wait for its end.

        Returns:
            Whether it ended by ``deadline``. Otherwise it goes on in its thread.

        Raises:
            NotConnected: the client was closed, before or meanwhile.
        """
        has_ended = False

        def run() -> None:
            nonlocal has_ended
            try:
                action()
            finally:
                with self._changed:
                    has_ended = True
                    self._changed.notify_all()

        threading.Thread(target=run, name=thread_name, daemon=True).start()
        return self._wait_for(lambda: has_ended, deadline.remaining)

    def _wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        timeout = min(seconds, threading.TIMEOUT_MAX)
        with self._changed:
            self._changed.wait_for(lambda: self._is_set or condition(), timeout)
            if condition():
                return True
            if self._is_set:
                raise self.make_error()
        return False
