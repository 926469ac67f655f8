"""What lies between an in-memory server and its clients, in place of sockets and a worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from zmqruntime.execution.lowlevel import ExecutionEvent, Transport, compose_event
from zmqruntime.messages import make_topic
from zmqruntime.transport import Caller

__all__ = ["InMemoryOutbox", "InMemorySubscription"]


class InMemoryOutbox(Transport):
    """Keeps replies until they are asked for, and events until they are delivered."""

    def __init__(self, on_exit: Callable[[str | None], None]) -> None:
        self.replies: dict[Caller, bytes] = {}
        self.events: deque[tuple[bytes, bytes]] = deque()
        self._on_exit = on_exit

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        """Keep a reply."""
        self.replies[caller] = frame

    def publish_events(
        self, client_id: str, execution_id: str, events: Sequence[ExecutionEvent]
    ) -> None:
        """Keep events."""
        topic = make_topic(client_id, execution_id)
        self.events.extend((topic, compose_event(execution_id, event)) for event in events)

    def exit(self, failure: str | None) -> None:
        """End the server."""
        self._on_exit(failure)

    def handled(self, event: object) -> None:
        """Nothing to do: who asks looks at the next deadline anyway."""


class InMemorySubscription:
    """A client's wish for some topics, called back in the thread that makes an event."""

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
        """Call back with an event, if it is one of the wanted."""
        if self._open and topic.startswith(self._prefixes):
            self._on_messages([(topic, frame)])

    def lose(self) -> None:
        """Tell that the server is gone."""
        if self._open:
            self._on_connection(False)

    def post(self, callback: Callable[[], None]) -> None:
        """Do nothing: here is neither a thread to call back in, nor one to give back."""

    def stop(self) -> None:
        """Call back no more."""
        self._open = False

    close = stop
