"""Replies, events and subscriptions of an in-memory server, in place of sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from zmqruntime.execution.lowlevel import ExecutionEvent, Transport, compose_event
from zmqruntime.messages import make_topic
from zmqruntime.transport import Caller

__all__ = ["InMemoryOutbox", "InMemorySubscription"]


class InMemoryOutbox(Transport):
    """Stores replies until a caller takes them, and events until they are delivered."""

    def __init__(self, on_exit: Callable[[str | None], None]) -> None:
        self.replies: dict[Caller, bytes] = {}
        self.events: deque[tuple[bytes, bytes]] = deque()
        self._on_exit = on_exit

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        """Store a reply."""
        self.replies[caller] = frame

    def publish_events(
        self, client_id: str, execution_id: str, events: Sequence[ExecutionEvent]
    ) -> None:
        """Store events with their topic."""
        topic = make_topic(client_id, execution_id)
        self.events.extend((topic, compose_event(execution_id, event)) for event in events)

    def exit(self, failure: str | None) -> None:
        """Stop the server."""
        self._on_exit(failure)

    def handled(self, event: object) -> None:
        """Do nothing: callers read the next deadline themselves."""


class InMemorySubscription:
    """A client's topic prefixes and callbacks; these run in the thread that causes an event."""

    def __init__(
        self,
        prefixes: Sequence[bytes],
        on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None],
        on_connection: Callable[[bool], None],
    ) -> None:
        self._prefixes = tuple(prefixes)
        self._on_messages = on_messages
        self._on_connection = on_connection
        self._open = True

    def deliver(self, topic: bytes, frame: bytes) -> None:
        """Call ``on_messages`` with an event if its topic matches."""
        if self._open and topic.startswith(self._prefixes):
            self._on_messages([(topic, frame)])

    def disconnect(self) -> None:
        """Report the loss of the server."""
        if self._open:
            self._on_connection(False)

    def post(self, callback: Callable[[], None]) -> None:
        """Do nothing: there is no subscriber thread."""

    def stop(self) -> None:
        """End the callbacks."""
        self._open = False

    close = stop
