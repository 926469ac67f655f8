"""What lies between an in-memory server and its clients, in place of sockets and a worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from zmqruntime.execution import RunnerHost, TaskRunner
from zmqruntime.execution.lowlevel import ExecutionEvent, Transport, compose_event
from zmqruntime.messages import WorkerInfo, make_topic
from zmqruntime.testing.fake.player import Player
from zmqruntime.testing.fake.script import Script
from zmqruntime.transport import Caller

__all__ = ["Outbox", "PlayerRunner", "Subscription"]

_Tell = Callable[[Callable[[Player], None]], None]


class PlayerRunner(TaskRunner):
    """Gives a runner's orders to a player; whoever owns that one asks it what there is to tell."""

    def __init__(self, tell: _Tell, script_of: Callable[[str], Script]) -> None:
        self._tell = tell
        self._script_of = script_of

    def open(self, host: RunnerHost) -> None:
        """Make ready to start workers: nothing to do."""

    def start_worker(self, slot: int = 0) -> None:
        """Let there be a worker."""
        self._tell(lambda player: player.start_worker())

    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        """Begin with the execution's script."""
        script = self._script_of(execution_id)
        self._tell(lambda player: player.assign(execution_id, script))

    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        """Stop the execution, unless it is deaf."""
        self._tell(lambda player: player.interrupt(execution_id))

    def kill_worker(self, slot: int = 0) -> None:
        """End the worker."""
        self._tell(lambda player: player.kill_worker())

    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[WorkerInfo, ...]:
        """Return no worker: there is no process."""
        return ()

    def close(self) -> None:
        """End the worker."""
        self._tell(lambda player: player.kill_worker())


class Outbox(Transport):
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


class Subscription:
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
