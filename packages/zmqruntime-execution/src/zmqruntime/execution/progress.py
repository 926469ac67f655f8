"""The client's background loop: validates, orders, notices gaps, calls back."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import groupby

from zmqruntime.execution.errors import rejection
from zmqruntime.execution.stream import EventStream, StreamGroup
from zmqruntime.messages import (
    ClientId,
    ErrorReply,
    MessageError,
    ProgressEvent,
    ProgressScope,
    RegisterProgressRequest,
    StateEvent,
    UnregisterProgressRequest,
    ZMQRuntimeError,
    decode_event,
    make_topic_prefix,
)
from zmqruntime.transport import TransportError, ZMQClient

__all__ = ["ProgressCallback", "ProgressStreamSubscriber"]

_log = logging.getLogger("zmqruntime.client")

# So many executions are watched for gaps; those that were heard of last.
_MAX_WATCHED = 10_000

ProgressCallback = Callable[[ProgressEvent | StateEvent], None]
"""Called in the subscriber's thread with each event, the terminal one included."""


class ProgressStreamSubscriber:
    """Receives the events of a client's executions, or of everybody's, and passes them on.

    When the constructor returns, the server has seen the subscription: no event of an
    execution submitted later is lost to a slow joiner. Events can still be dropped for a
    subscriber that falls far behind; such a gap is logged, and counted in ``missed``.

    Args:
        client: a connected client; its owner closes the subscriber before disconnecting it.
        client_id: whose events to receive.
        callback: called with each event, in this subscriber's thread. What it raises is
            logged, and the stream goes on.
        scope: only this client's executions, or everybody's.

    Raises:
        RequestRejected: the server has not seen the subscription in time.
        TransportError: the server did not answer.
    """

    def __init__(
        self,
        client: ZMQClient,
        client_id: ClientId,
        callback: ProgressCallback | None = None,
        *,
        scope: ProgressScope = ProgressScope.OWN,
    ) -> None:
        self._client = client
        self._client_id = client_id
        self._callback = callback
        self._scope = scope
        self._lock = threading.Lock()
        self._last: OrderedDict[str, int] = OrderedDict()
        self._streams: weakref.WeakValueDictionary[str, StreamGroup] = weakref.WeakValueDictionary()
        self._was_connected = False
        self._stopping = False
        self.missed = 0
        """How many events never arrived, after the first that did of each execution."""
        # The server knows the client by the last subscription, so that one comes last.
        prefixes = [b""] if scope is ProgressScope.ALL else []
        self._subscriber = client.subscribe(
            [*prefixes, make_topic_prefix(client_id)], self._on_messages, self._on_connection
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
        with self._lock:
            if from_start and execution_id not in self._last:
                self._remember(execution_id, 0)
            group = self._streams.get(execution_id)
            if group is None:
                group = self._streams[execution_id] = StreamGroup()
            return group.open()

    def close(self) -> None:
        """Take leave of the server, if it is there, and end the thread."""
        try:
            self.stop()
        finally:
            self._subscriber.close()

    def stop(self) -> None:
        """Take leave of the server, and begin to end, without waiting for the thread.

        A callback may be in a request that only `disconnect` wakes up; that waits afterwards.
        """
        self._stopping = True
        try:
            self._client.request(UnregisterProgressRequest(client_id=self._client_id), timeout=1.0)
        except TransportError as error:
            _log.debug("not unregistered: %s", error)  # It sees the subscription end anyway.
        finally:
            self._subscriber.stop()

    def _register(self) -> None:
        # Asked again because a reply was lost, the server holds its answer for so long.
        reply = self._client.request(
            RegisterProgressRequest(client_id=self._client_id, scope=self._scope),
            hold=self._client.config.registration_timeout,
        )
        if isinstance(reply, ErrorReply):
            raise rejection(reply)

    # -- in the subscriber's thread -----------------------------------------------------------

    def _on_messages(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        events = [event for message in messages if (event := self._take(*message)) is not None]
        if self._callback is not None:
            for event in events:
                if self._stopping:
                    return
                self._call_back(self._callback, event)
        # Afterwards, so that who reads the last one knows that the callback has had it; and
        # together, so that each reader is woken up once.
        for execution_id, of_one in groupby(events, lambda event: event.execution_id):
            if (group := self._streams.get(execution_id)) is not None:
                group.put(list(of_one))

    def _take(self, topic: bytes, frame: bytes) -> ProgressEvent | StateEvent | None:
        """Return the event in a frame, if it is one that was not seen before."""
        try:
            event = decode_event(frame)
        except MessageError as error:
            _log.warning("an event on topic %r was ignored: %s", topic, error)
            return None
        return event if self._in_order(event) else None

    @staticmethod
    def _call_back(callback: ProgressCallback, event: ProgressEvent | StateEvent) -> None:
        try:
            callback(event)
        except Exception:  # noqa: BLE001 - the application's; logged, and none of ours
            _log.exception(
                "the progress callback failed on event %d of execution %s; the stream goes on",
                event.sequence,
                event.execution_id,
            )

    def _in_order(self, event: ProgressEvent | StateEvent) -> bool:
        with self._lock:
            # Of one unknown so far nothing is missed: it went on before anybody listened.
            last = self._last.get(event.execution_id, event.sequence - 1)
            if event.sequence <= last:
                return False  # Seen before: with scope "all", both subscriptions match.
            if isinstance(event, StateEvent) and event.status.is_terminal:
                self._last.pop(event.execution_id, None)
            else:
                self._remember(event.execution_id, event.sequence)
        missed = event.sequence - last - 1
        if missed:
            self.missed += missed
            _log.info("%d events of execution %s were lost", missed, event.execution_id)
        return True

    def _remember(self, execution_id: str, sequence: int) -> None:
        self._last[execution_id] = sequence
        self._last.move_to_end(execution_id)
        if len(self._last) > _MAX_WATCHED:
            self._last.popitem(last=False)

    def _on_connection(self, connected: bool) -> None:
        if connected and self._was_connected:
            try:
                self._register()
            except ZMQRuntimeError as error:
                _log.warning("not registered again after a lost connection: %s", error)
        self._was_connected = self._was_connected or connected
        for reference in self._streams.valuerefs():  # A copy: other threads open streams.
            if (group := reference()) is not None:
                group.disturb()
