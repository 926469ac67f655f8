"""The progress subscribers of one client: its own, and one for each client it attached to."""

from __future__ import annotations

import contextlib
import threading
import weakref

from zmqruntime.execution.client.stream import EventStream
from zmqruntime.execution.client.subscriber import ProgressCallback, ProgressStreamSubscriber
from zmqruntime.messages import ClientId, ExecutionId
from zmqruntime.transport import NotConnected, ZMQClient

__all__ = ["SubscriberRegistry"]


class SubscriberRegistry:
    """Creates one subscriber for each client whose executions are followed. Thread-safe.

    Args:
        client: the client whose connection they use.
        own_id: its client id.
        callback: called with each event of its own executions.
    """

    def __init__(
        self, client: ZMQClient, own_id: ClientId, callback: ProgressCallback | None
    ) -> None:
        # Weak: a subscriber's thread refers to it, and would keep a client that was never
        # disconnected from being collected.
        self._client: ZMQClient = weakref.proxy(client)
        self._own_id = own_id
        self._callback = callback
        self._lock = threading.Lock()
        self._by_client: dict[ClientId, ProgressStreamSubscriber] = {}

    def start(self) -> None:
        """Subscribe to this client's own executions, if there is a callback."""
        if self._callback is not None:
            with self._lock:
                self._get_or_create(self._own_id)

    def open_stream(self, execution_id: ExecutionId, submitter: ClientId | None) -> EventStream:
        """Return a stream of an execution's events from now on; ``submitter`` None: this client."""
        with self._lock:  # Without a stream, the subscriber would be idle and could be retired.
            return self._get_or_create(submitter or self._own_id).open_stream(execution_id)

    def open_from_start(self, execution_id: ExecutionId | None) -> EventStream | None:
        """Return a stream of an execution before its submission; None without a subscriber."""
        own = self._by_client.get(self._own_id)
        if own is None or execution_id is None:
            return None
        return own.open_stream(execution_id, from_start=True)

    @property
    def missed(self) -> int:
        """The number of lost events of all present subscribers."""
        # A copy instead of the lock, which is held while a subscriber registers.
        return sum(subscriber.missed for subscriber in tuple(self._by_client.values()))

    def stop(self) -> None:
        """Stop every subscriber."""
        # Without the lock: another thread may hold it during a registration, which ends when the
        # client is closed, and not before.
        subscribers, self._by_client = self._by_client, {}
        with contextlib.ExitStack() as ends:
            for subscriber in list(subscribers.values()):
                ends.callback(subscriber.stop)

    def _get_or_create(self, submitter: ClientId) -> ProgressStreamSubscriber:
        """Return the subscriber to a client's executions.

        This client's own has the callback; any other is retired with the last of its streams.
        """
        subscribers = self._by_client
        subscriber = subscribers.get(submitter)
        if subscriber is None:
            if submitter == self._own_id:
                subscriber = ProgressStreamSubscriber(self._client, submitter, self._callback)
            else:
                subscriber = ProgressStreamSubscriber(self._client, submitter, on_idle=self._retire)
            subscribers[submitter] = subscriber
            if self._by_client is not subscribers:  # `stop` may have missed it.
                subscriber.close()
                raise NotConnected("the client was disconnected during a registration")
        return subscriber

    def _retire(self, subscriber: ProgressStreamSubscriber) -> None:
        with self._lock:
            if subscriber.idle and self._by_client.get(subscriber.client_id) is subscriber:
                del self._by_client[subscriber.client_id]
                subscriber.retire()
