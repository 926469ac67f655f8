"""`ProgressStreamSubscriber`: receives events in a thread, with recovery from lost connections."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Literal

from zmqruntime.execution.client.event_order import EventOrder
from zmqruntime.execution.client.replay import EventReplay
from zmqruntime.execution.client.stream import EventStream, StreamGroup
from zmqruntime.execution.errors import rejection
from zmqruntime.messages import (
    ARRAYS_MARK,
    ClientId,
    ErrorReply,
    MessageError,
    ProgressEvent,
    ProgressScope,
    RegisterProgressRequest,
    StateEvent,
    UnregisterProgressRequest,
    ZMQRuntimeError,
    decode_events,
    make_topic_prefix,
)
from zmqruntime.messages.lowlevel import decode_errors
from zmqruntime.transport import ServerLost, Timer, TransportError, ZMQClient
from zmqruntime.transport.lowlevel import Backoff

__all__ = ["ProgressCallback", "ProgressStreamSubscriber"]

_log = logging.getLogger("zmqruntime.client")

# Backoff of a failed recovery; its first delay is also the time after which events in transit must
# have arrived.
_MAX_BACKOFF_SECONDS = 30.0
_BACKOFF = Backoff(0.5, _MAX_BACKOFF_SECONDS)

ProgressCallback = Callable[[ProgressEvent | StateEvent], None]
"""Called in the subscriber's thread with each event, terminal ones included."""


class ProgressStreamSubscriber:
    """Receives the events of one client's executions, or of all clients'.

    When the constructor returns, the server has seen the subscription, so no event of an
    execution submitted later is lost to a slow joiner. Events are dropped when the subscriber is
    too slow or its connection is lost. Those that the server has kept are replayed; the others
    are logged and counted in ``missed``.

    Args:
        client: a connected client; close the subscriber before disconnecting it.
        client_id: the client whose events to receive.
        callback: called with each event, in this subscriber's thread. An exception is logged,
            and the stream continues.
        scope: ``"own"``: the executions of ``client_id``; ``"all"``: those of all clients.
        on_idle: called in this subscriber's thread when the last of its streams was dropped.

    Raises:
        DecodeError: the client id is invalid.
        RequestRejected: the server has not seen the subscription in time.
        TransportError: the server did not reply.
    """

    def __init__(
        self,
        client: ZMQClient,
        client_id: ClientId,
        callback: ProgressCallback | None = None,
        *,
        scope: ProgressScope | Literal["own", "all"] = ProgressScope.OWN,
        on_idle: Callable[[ProgressStreamSubscriber], None] | None = None,
    ) -> None:
        with decode_errors("registration"):
            self._registration = RegisterProgressRequest.model_validate(
                {"client_id": client_id, "scope": scope}, strict=False
            )
        scope = self._registration.scope
        self._client = client
        self.client_id = client_id
        self._callback = callback
        self._on_idle = on_idle
        self._lock = threading.Lock()
        self._order = EventOrder(EventReplay(client))
        self._streams: weakref.WeakValueDictionary[str, StreamGroup] = weakref.WeakValueDictionary()
        self._was_connected = False
        self._connected = False
        self._registered = True
        self._has_reconnected = False
        self._retry: Timer | None = None
        self._failures = 0
        self._stopping = False
        # The server recognizes the client by its own prefix, so that one comes last.
        prefixes = [b""] if scope is ProgressScope.ALL else []
        prefixes.append(make_topic_prefix(client_id))
        with self._lock:  # Callbacks may run before the assignment.
            self._subscriber = client.subscribe(
                [*prefixes, *(ARRAYS_MARK + prefix for prefix in prefixes)],
                self._on_messages,
                self._on_connection,
                self._on_caught_up,
            )
        try:
            self._register()
        except BaseException:
            self._subscriber.close()
            raise

    def open_stream(self, execution_id: str, *, from_start: bool = False) -> EventStream:
        """Return a new stream of one execution's events from now on.

        Args:
            execution_id: the execution.
            from_start: whether it is not submitted yet, so that a first event with a number
                above 1 means lost events.
        """
        if from_start:
            self._order.expect(execution_id)
        with self._lock:
            group = self._streams.get(execution_id)
            if group is None:
                group = self._streams[execution_id] = StreamGroup()
                if self._on_idle is not None:
                    # Finalizers run at any point of any thread: this one only posts.
                    end = weakref.finalize(group, self._subscriber.post, self._notify_if_idle)
                    end.atexit = False
            stream = group.open()
            if self._stopping:
                stream.close()
            return stream

    @property
    def missed(self) -> int:
        """The number of lost events after the first received one of each execution.

        Events lost in a server restart are not counted: their number is unknown.
        """
        return self._order.missed

    @property
    def idle(self) -> bool:
        """Whether none of its streams is in use."""
        return next(self._groups(), None) is None

    def close(self) -> None:
        """Stop, and wait for the thread to end."""
        try:
            self.stop()
        finally:
            self._subscriber.close()

    def stop(self) -> None:
        """Close the streams, unregister from the server, and stop the thread without joining it.

        A callback may be blocked in a request until `disconnect`, which joins the thread.
        """
        with self._lock:
            self._stopping = True
            for group in self._groups():
                group.close()
        try:
            self._client.request(UnregisterProgressRequest(client_id=self.client_id), timeout=1.0)
        except TransportError as error:
            _log.debug("not unregistered: %s", error)  # The server sees the subscription end.
        finally:
            self._subscriber.stop()

    def retire(self) -> None:
        """Stop an idle subscriber without a request: the server sees its subscription end."""
        self._stopping = True
        self._subscriber.stop()

    def _groups(self) -> Iterator[StreamGroup]:
        for reference in self._streams.valuerefs():  # A copy: other threads may open streams.
            if (group := reference()) is not None:
                yield group

    def _register(self) -> None:
        # On a retry after a lost reply, the server may hold its reply for that long.
        reply = self._client.request(
            self._registration,
            hold=self._client.config.registration_timeout,
        )
        if isinstance(reply, ErrorReply):
            raise rejection(reply)

    # -- in the subscriber's thread -----------------------------------------------------------

    def _on_messages(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        events: list[ProgressEvent | StateEvent] = []
        for topic, frame in messages:
            try:
                events += decode_events(frame)
            except MessageError as error:
                _log.warning("invalid message on topic %r ignored: %s", topic, error)
        self._deliver(self._order.arrange(events))

    def _deliver(self, events: Sequence[ProgressEvent | StateEvent]) -> None:
        if (callback := self._callback) is not None:
            for event in events:
                if self._stopping:
                    return
                try:
                    callback(event)
                # Including SystemExit: this thread serves other streams as well.
                except BaseException:  # noqa: BLE001
                    _log.exception(
                        "progress callback failed on event %d of execution %s; the stream "
                        "continues",
                        event.sequence,
                        event.execution_id,
                        extra={"execution_id": event.execution_id},
                    )
        # After the callback, so that it has received every event before a reader does; grouped, so
        # that each reader wakes once.
        for execution_id, of_one in groupby(events, attrgetter("execution_id")):
            if (group := self._streams.get(execution_id)) is not None:
                group.put(list(of_one))

    def _notify_if_idle(self) -> None:
        if self._on_idle is not None and self.idle:
            self._on_idle(self)

    def _on_connection(self, connected: bool) -> None:
        self._connected = connected
        self._cancel_retry()
        if connected and self._was_connected:
            self._registered = False
            self._has_reconnected = True
            self._failures = 0
            self._recover()
        self._was_connected = self._was_connected or connected
        for group in self._groups():
            group.request_check()

    def _on_caught_up(self) -> None:
        if self._retry is None:  # Else a recovery is due soon.
            self._recover()

    def _recover(self) -> None:
        """Register again if necessary, and replay missed events; on failure, retry with backoff.

        Without a connection, the next one triggers the retry.
        """
        self._retry = None
        try:
            if not self._registered:
                self._register_again()
                self._registered = True
            for events in self._order.replay_missed(after_reconnect=self._has_reconnected):
                self._deliver(events)
            self._has_reconnected = False
        except ReferenceError:
            return  # The client was garbage-collected.
        except ZMQRuntimeError as error:
            if self._stopping:
                return
            what = "replay of missed events" if self._registered else "progress registration"
            _log.warning("%s failed and will be retried: %s", what, error)
            if self._connected:
                self._failures += 1
                self._recover_later(self._failures)
        else:
            self._failures = 0
            if self._order.has_unconfirmed_gaps:
                self._recover_later(1)

    def _recover_later(self, failures: int) -> None:
        delay = _BACKOFF.compute_delay(failures)
        with self._lock:
            self._retry = self._subscriber.call_later(delay, self._recover)

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _register_again(self) -> None:
        try:
            self._register()
        except ServerLost:
            self._client.reconnect()  # The server was restarted.
            self._register()
