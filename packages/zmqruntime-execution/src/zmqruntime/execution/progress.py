"""The client's background loop: validates, orders, notices gaps, calls back."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable

from zmqruntime.execution.errors import rejection
from zmqruntime.execution.stream import EventStream
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
        self._last: dict[str, int] = {}
        self._streams: weakref.WeakValueDictionary[str, EventStream] = weakref.WeakValueDictionary()
        self._was_connected = False
        self.missed = 0
        """How many events never arrived."""
        # The server knows the client by the last subscription, so that one comes last.
        prefixes = [b""] if scope is ProgressScope.ALL else []
        self._subscriber = client.subscribe(
            [*prefixes, make_topic_prefix(client_id)], self._on_message, self._on_connection
        )
        try:
            self._register()
        except BaseException:
            self._subscriber.close()
            raise

    def open_stream(self, execution_id: str) -> EventStream:
        """Return a stream that gets the events of one execution from now on."""
        stream = self._streams.get(execution_id)
        if stream is None:
            stream = self._streams[execution_id] = EventStream()
        return stream

    def close(self) -> None:
        """Take leave of the server, if it is there, and end the thread."""
        try:
            self._client.request(UnregisterProgressRequest(client_id=self._client_id), timeout=1.0)
        except TransportError as error:
            _log.debug("not unregistered: %s", error)  # It sees the subscription end anyway.
        finally:
            self._subscriber.close()

    def _register(self) -> None:
        reply = self._client.request(
            RegisterProgressRequest(client_id=self._client_id, scope=self._scope)
        )
        if isinstance(reply, ErrorReply):
            raise rejection(reply)

    # -- in the subscriber's thread -----------------------------------------------------------

    def _on_message(self, topic: bytes, frame: bytes) -> None:
        try:
            event = decode_event(frame)
        except MessageError as error:
            _log.warning("an event on topic %r was ignored: %s", topic, error)
            return
        if not self._in_order(event):
            return
        stream = self._streams.get(event.execution_id)
        if stream is not None:
            stream.put(event)
        if self._callback is not None:
            try:
                self._callback(event)
            except Exception:  # noqa: BLE001 - the application's; logged, and none of ours
                _log.exception(
                    "the progress callback failed on event %d of execution %s; the stream goes on",
                    event.sequence,
                    event.execution_id,
                )

    def _in_order(self, event: ProgressEvent | StateEvent) -> bool:
        last = self._last.get(event.execution_id, 0)
        if event.sequence <= last:
            return False  # Seen before: with scope "all", both subscriptions match.
        missed = event.sequence - last - 1
        if missed:
            self.missed += missed
            _log.info("%d events of execution %s were lost", missed, event.execution_id)
        if isinstance(event, StateEvent) and event.status.is_terminal:
            self._last.pop(event.execution_id, None)
        else:
            self._last[event.execution_id] = event.sequence
        return True

    def _on_connection(self, connected: bool) -> None:
        if connected and self._was_connected:
            try:
                self._register()
            except ZMQRuntimeError as error:
                _log.warning("not registered again after a lost connection: %s", error)
        self._was_connected = self._was_connected or connected
        for reference in self._streams.valuerefs():  # A copy: other threads open streams.
            if (stream := reference()) is not None:
                stream.disturb()
