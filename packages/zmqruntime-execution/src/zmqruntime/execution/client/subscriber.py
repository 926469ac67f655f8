"""The client's background loop: hears of events, comes back to its server, calls back."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Literal

from zmqruntime.execution.client.event_order import EventOrder
from zmqruntime.execution.client.replay import MissedEvents
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
    explaining,
    make_topic_prefix,
)
from zmqruntime.transport import ServerLost, Timer, TransportError, ZMQClient
from zmqruntime.transport.backoff import Backoff

__all__ = ["ProgressCallback", "ProgressStreamSubscriber"]

_log = logging.getLogger("zmqruntime.client")

# Between two attempts to register again or to fetch missed events. The first delay is also how long
# nothing comes when no event is in flight any more.
_MAX_BACKOFF_SECONDS = 30.0
_BACKOFF = Backoff(0.5, _MAX_BACKOFF_SECONDS)

ProgressCallback = Callable[[ProgressEvent | StateEvent], None]
"""Called in the subscriber's thread with each event, the terminal one included."""


class ProgressStreamSubscriber:
    """Receives the events of a client's executions, or of everybody's, and passes them on.

    When the constructor returns, the server has seen the subscription: no event of an
    execution submitted later is lost to a slow joiner. Events are still dropped for a
    subscriber that falls far behind, and while its connection is cut. It asks the server for
    them; what that does not keep any more is logged, and counted in ``missed``.

    Args:
        client: a connected client; its owner closes the subscriber before disconnecting it.
        client_id: whose events to receive.
        callback: called with each event, in this subscriber's thread. What it raises is
            logged, and the stream goes on.
        scope: only this client's executions, or everybody's.
        on_idle: called in this subscriber's thread when nobody has one of its streams any more.

    Raises:
        DecodeError: the client's id is none.
        RequestRejected: the server has not seen the subscription in time.
        TransportError: the server did not answer.
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
        with explaining("registration"):
            self._registration = RegisterProgressRequest.model_validate(
                {"client_id": client_id, "scope": scope}, strict=False
            )
        scope = self._registration.scope
        self._client = client
        self.client_id = client_id
        self._callback = callback
        self._on_idle = on_idle
        self._lock = threading.Lock()
        self._order = EventOrder(MissedEvents(client))
        self._streams: weakref.WeakValueDictionary[str, StreamGroup] = weakref.WeakValueDictionary()
        self._was_connected = False
        self._connected = False
        self._registered = True
        self._was_cut = False
        self._retry: Timer | None = None
        self._failures = 0
        self._stopping = False
        # The server knows the client by its own prefix, so that one comes last of those.
        prefixes = [b""] if scope is ProgressScope.ALL else []
        prefixes.append(make_topic_prefix(client_id))
        with self._lock:  # Its thread may call back before it is here.
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
        """Return a stream of its own that gets the events of one execution from now on.

        Args:
            execution_id: which.
            from_start: whether it is only about to be submitted, so that the first event to
                come is its first, or else was lost.
        """
        if from_start:
            self._order.expect(execution_id)
        with self._lock:
            group = self._streams.get(execution_id)
            if group is None:
                group = self._streams[execution_id] = StreamGroup()
                if self._on_idle is not None:
                    # It may end at any point of any thread, so there nothing is done but to post.
                    end = weakref.finalize(group, self._subscriber.post, self._tell_if_idle)
                    end.atexit = False
            stream = group.open()
            if self._stopping:
                stream.close()
            return stream

    @property
    def missed(self) -> int:
        """How many events never came, after the first that did of each execution.

        Without those that a server had sent before it was killed: their number is not known.
        """
        return self._order.missed

    @property
    def idle(self) -> bool:
        """Whether nobody has one of its streams."""
        return next(self._groups(), None) is None

    def close(self) -> None:
        """Take leave of the server, if it is there, and end the thread."""
        try:
            self.stop()
        finally:
            self._subscriber.close()

    def stop(self) -> None:
        """Close the streams, take leave of the server, and begin to end.

        It does not wait for the thread.

        A callback may be in a request that only `disconnect` wakes up; that waits afterwards.
        """
        with self._lock:
            self._stopping = True
            for group in self._groups():
                group.close()
        try:
            self._client.request(UnregisterProgressRequest(client_id=self.client_id), timeout=1.0)
        except TransportError as error:
            _log.debug("not unregistered: %s", error)  # It sees the subscription end anyway.
        finally:
            self._subscriber.stop()

    def retire(self) -> None:
        """End by itself, as an idle one may: the server sees that its subscription ends."""
        self._stopping = True
        self._subscriber.stop()

    def _groups(self) -> Iterator[StreamGroup]:
        for reference in self._streams.valuerefs():  # A copy: other threads open streams.
            if (group := reference()) is not None:
                yield group

    def _register(self) -> None:
        # Asked again because a reply was lost, the server holds its answer for so long.
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
                _log.warning("a message on topic %r was ignored: %s", topic, error)
        self._tell(self._order.arrange(events))

    def _tell(self, events: Sequence[ProgressEvent | StateEvent]) -> None:
        if (callback := self._callback) is not None:
            for event in events:
                if self._stopping:
                    return
                try:
                    callback(event)
                # Whatever the application raises, sys.exit included: this thread serves every
                # other stream as well.
                except BaseException:  # noqa: BLE001
                    _log.exception(
                        "the progress callback failed on event %d of execution %s; the stream "
                        "goes on",
                        event.sequence,
                        event.execution_id,
                        extra={"execution_id": event.execution_id},
                    )
        # Afterwards, so that who reads the last one knows that the callback has had it; and
        # together, so that each reader is woken up once.
        for execution_id, of_one in groupby(events, attrgetter("execution_id")):
            if (group := self._streams.get(execution_id)) is not None:
                group.put(list(of_one))

    def _tell_if_idle(self) -> None:
        if self._on_idle is not None and self.idle:
            self._on_idle(self)

    def _on_connection(self, connected: bool) -> None:
        self._connected = connected
        self._cancel_retry()
        if connected and self._was_connected:
            self._registered = False
            self._was_cut = True
            self._failures = 0
            self._recover()
        self._was_connected = self._was_connected or connected
        for group in self._groups():
            group.disturb()

    def _on_caught_up(self) -> None:
        if self._retry is None:  # Else it is asked soon.
            self._recover()

    def _recover(self) -> None:
        """Register again, if need be, and fill up; what fails is tried again later.

        While there is no connection it waits for the next one.
        """
        self._retry = None
        try:
            if not self._registered:
                self._register_again()
                self._registered = True
            for events in self._order.fill_up(after_cut=self._was_cut):
                self._tell(events)
            self._was_cut = False
        except ReferenceError:
            return  # The client was collected, and this ends.
        except ZMQRuntimeError as error:
            if self._stopping:
                return
            what = "asked for what was missed" if self._registered else "registered again"
            _log.warning("not %s, and tried again later: %s", what, error)
            if self._connected:
                self._failures += 1
                self._recover_later(self._failures)
        else:
            self._failures = 0
            if self._order.is_in_doubt:
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
            self._client.reconnect()  # Another one is there: this connection is to it.
            self._register()
