"""The progress that one client hears of: its own executions', and those it has come back to."""

from __future__ import annotations

import contextlib
import threading
import weakref

from zmqruntime.execution.client.stream import EventStream
from zmqruntime.execution.client.subscriber import ProgressCallback, ProgressStreamSubscriber
from zmqruntime.messages import ClientId, ExecutionId
from zmqruntime.transport import NotConnected, ZMQClient

__all__ = ["Subscriptions"]


class Subscriptions:
    """One subscriber for each client whose executions are followed. For any thread.

    Args:
        client: asks for them, and is connected when it does.
        own_id: who this client is.
        callback: called with each event of its own executions.
    """

    def __init__(
        self, client: ZMQClient, own_id: ClientId, callback: ProgressCallback | None
    ) -> None:
        # Weak: the thread of a subscriber refers to it. Else a client that was not disconnected
        # would never be collected.
        self._client: ZMQClient = weakref.proxy(client)
        self._own_id = own_id
        self._callback = callback
        self._lock = threading.Lock()
        self._subscribers: dict[ClientId, ProgressStreamSubscriber] = {}

    def start(self) -> None:
        """Hear of this client's own executions from now on, if there is a callback for that."""
        if self._callback is not None:
            with self._lock:
                self._subscribe(self._own_id)

    def open_stream(self, execution_id: ExecutionId, submitter: ClientId | None) -> EventStream:
        """Return a stream of an execution's events from now on; None: one of its own."""
        with self._lock:  # Until there is a stream, it would be idle.
            return self._subscribe(submitter or self._own_id).open_stream(execution_id)

    def open_first(self, execution_id: ExecutionId | None) -> EventStream | None:
        """Return a stream with every event of what is about to be submitted, if any is heard."""
        own = self._subscribers.get(self._own_id)
        if own is None or execution_id is None:
            return None
        return own.open_stream(execution_id, from_start=True)

    def stop(self) -> None:
        """Take leave of the server, for all of them."""
        # Without the lock: another thread may hold it during a registration, which ends when the
        # client is closed, and not before.
        subscribers, self._subscribers = self._subscribers, {}
        with contextlib.ExitStack() as ends:
            for subscriber in list(subscribers.values()):
                ends.callback(subscriber.stop)

    def _subscribe(self, submitter: ClientId) -> ProgressStreamSubscriber:
        """Return what hears of a client's executions; the callback is for those of this one.

        What hears of another client's lives as long as one of its streams.
        """
        subscribers = self._subscribers
        subscriber = subscribers.get(submitter)
        if subscriber is None:
            if submitter == self._own_id:
                subscriber = ProgressStreamSubscriber(self._client, submitter, self._callback)
            else:
                subscriber = ProgressStreamSubscriber(self._client, submitter, on_idle=self._retire)
            subscribers[submitter] = subscriber
            if self._subscribers is not subscribers:  # `stop` may have missed it.
                subscriber.close()
                raise NotConnected("the client was disconnected during a registration")
        return subscriber

    def _retire(self, subscriber: ProgressStreamSubscriber) -> None:
        with self._lock:
            if subscriber.idle and self._subscribers.get(subscriber.client_id) is subscriber:
                del self._subscribers[subscriber.client_id]
                subscriber.retire()
