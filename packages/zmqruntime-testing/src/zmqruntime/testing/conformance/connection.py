"""`Connection`: plain pyzmq sockets to the server under test; every wait has a timeout."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from types import TracebackType
from typing import Self

import zmq
from zmq.utils.monitor import parse_monitor_message

from zmqruntime.testing.conformance.target import Target
from zmqruntime.testing.conformance.transcript import (
    MAX_KEPT,
    Event,
    Exchange,
    Message,
    Transcript,
    Violation,
    decode_strictly,
    shorten,
)

__all__ = ["Connection", "ServerUnreachable"]

_LINK_EVENTS = zmq.Event.HANDSHAKE_SUCCEEDED | zmq.Event.DISCONNECTED


class ServerUnreachable(Violation):
    """No ZeroMQ peer completes the handshake at the control address."""


class Connection:
    """A DEALER on the control channel and a SUB on the data channel, with their own context.

    Args:
        target: the addresses of the server.
        transcript: records every message.
        patience: timeout of each reply and event, in seconds.
        name: the owner of surplus replies in the transcript.

    Raises:
        ServerUnreachable: no handshake at the control address within ``patience``.
    """

    def __init__(self, target: Target, transcript: Transcript, patience: float, name: str) -> None:
        self.target = target
        self.transcript = transcript
        self.patience = patience
        self.name = name
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self.control = self.open(zmq.DEALER)
        self._pending: list[Exchange] = []
        self._sent_at: dict[Exchange, float] = {}
        self._replied: set[str | None] = set()
        self._monitor = self.control.get_monitor_socket(_LINK_EVENTS)
        self.control.connect(target.control)
        try:
            if self._next_link_event() != zmq.Event.HANDSHAKE_SUCCEEDED:
                raise ServerUnreachable(f"no ZeroMQ peer responds at {target.control}")
        except BaseException:
            self.close()
            raise
        self.accepts_arrays = False
        """Whether it has subscribed to arrays of events."""
        self._events: deque[Event] = deque()
        self.data = self.open(zmq.SUB)
        self.data.connect(target.data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self, kind: int) -> zmq.Socket[bytes]:
        """Return a further socket, which is closed with the connection."""
        sock = self._context.socket(kind)
        self._sockets.append(sock)
        sock.linger = 0
        sock.sndhwm = sock.rcvhwm = 0
        return sock

    def close(self) -> None:
        """Close every socket, and drop unsent messages."""
        self.control.disable_monitor()
        for sock in self._sockets:
            sock.close()
        self._context.destroy(linger=0)  # Closes the monitor socket as well.

    # -- control ------------------------------------------------------------------------------

    def send(self, *frames: bytes, request_id: str | None = None) -> Exchange:
        """Send these frames as one message; the transcript keeps the last one."""
        exchange = Exchange(frames[-1][:MAX_KEPT], request_id)
        self.transcript.entries.append(exchange)
        self._pending.append(exchange)
        self._sent_at[exchange] = time.monotonic()
        self.control.send_multipart(frames)
        return exchange

    def await_reply(self, exchange: Exchange, patience: float | None = None) -> Message:
        """Wait for the reply to a request; replies to others are stored on the way.

        Raises:
            Violation: no reply within ``patience``, or not a JSON object.
        """
        patience = self.patience if patience is None else patience
        deadline = time.monotonic() + patience
        while exchange.reply_frames is None:
            if not self.receive_reply(deadline):
                raise Violation(f"no reply within {patience:g} s", "C-012", shown=exchange.lines())
        if not exchange.reply:
            raise Violation("the reply is not one frame of JSON", "C-011", shown=exchange.lines())
        return exchange.reply

    def receive_reply(self, deadline: float) -> bool:
        """Receive and match one reply; return False at the deadline."""
        frames = _receive(self.control, deadline)
        if frames is None:
            return False
        body = frames[frames.index(b"") + 1 :] if b"" in frames else frames
        reply = _read(body)
        exchange = self._find(reply.get("request_id"))
        if exchange is None:
            shown = [f"received  {shorten(repr(frames))}"]
            self.transcript.surplus.append((self.name, shown))
            return True
        exchange.seconds = time.monotonic() - self._sent_at.pop(exchange)
        exchange.reply_frames, exchange.reply = body, reply
        self._pending.remove(exchange)
        self._replied.add(exchange.request_id)
        return True

    def _find(self, request_id: object) -> Exchange | None:
        """Return the request of a reply; an unknown id is matched with the oldest request."""
        for exchange in self._pending:
            if exchange.request_id == request_id:
                return exchange
        named = isinstance(request_id, str) and request_id in self._replied
        return self._pending[0] if self._pending and not named else None

    def receive(self, sock: zmq.Socket[bytes]) -> list[bytes]:
        """Return the next message of a socket that a check has opened.

        Raises:
            Violation: no message within the timeout.
        """
        frames = _receive(sock, time.monotonic() + self.patience)
        if frames is None:
            raise Violation(f"no reply within {self.patience:g} s")
        return frames

    def await_disconnect(self) -> bool:
        """Whether the server closes the control connection within the timeout."""
        return self._next_link_event() == zmq.Event.DISCONNECTED

    def _next_link_event(self) -> int | None:
        frames = _receive(self._monitor, time.monotonic() + self.patience)
        return None if frames is None else parse_monitor_message(frames)["event"]

    # -- data -----------------------------------------------------------------------------------

    def receive_event(self, deadline: float) -> Event | None:
        """Return the next event, or None at the deadline.

        Raises:
            Violation: the message is not a topic and a JSON object, or an array that this peer has
                not subscribed to.
        """
        if not self._events:
            frames = _receive(self.data, deadline)
            if frames is None:
                return None
            self._events.extend(self._split_array(frames))
        event = self._events.popleft()
        self.transcript.entries.append(event)
        if not event.body:
            raise Violation("an event is not a topic and a JSON object", "C-133", event.lines())
        return event

    def _split_array(self, frames: list[bytes]) -> list[Event]:
        """Return the events of a message, which may be an array."""
        bodies = _read_array(frames[1:])
        if bodies is None:
            return [Event(id(self), frames, _read(frames[1:]))]
        batch = [Event(id(self), [frames[0], json.dumps(body).encode()], body) for body in bodies]
        shown = Event(id(self), frames, Message()).lines()
        if not self.accepts_arrays:
            raise Violation(
                "received an array of events without a subscription to arrays", "C-208", shown
            )
        if len({event.body.get("execution_id") for event in batch}) != 1 or len(batch) < 2:
            raise Violation(
                "an array does not have two or more events of one execution", "C-207", shown
            )
        return batch


def _receive(sock: zmq.Socket[bytes], deadline: float) -> list[bytes] | None:
    """Return the next message, or None at the deadline."""
    # RCVTIMEO instead of poll(): a REQ may poll readable for a message that it then drops.
    sock.rcvtimeo = max(0, math.ceil((deadline - time.monotonic()) * 1000))
    try:
        return sock.recv_multipart()
    except zmq.Again:
        return None


def _read(body: list[bytes]) -> Message:
    """Return the JSON object of a one-frame body; an empty one if it is invalid."""
    value = _read_value(body)
    return value if isinstance(value, Message) else Message()


def _read_array(body: list[bytes]) -> list[Message] | None:
    """Return the objects of the array in a one-frame body; None if it is not an array."""
    value = _read_value(body)
    if not isinstance(value, list):
        return None
    return [item if isinstance(item, Message) else Message() for item in value]


def _read_value(body: list[bytes]) -> object:
    try:
        (frame,) = body
        return decode_strictly(frame)
    except (ValueError, RecursionError):
        return None
