"""Sockets to a server under test: plain pyzmq and JSON, and no wait without a bound."""

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
    """Nobody is at the other end of the control channel."""


class Connection:
    """A DEALER on the control channel and a SUB on the data channel, with their own context.

    Args:
        target: where the server is.
        transcript: where everything is written down that is said.
        patience: how long to wait for what is due, in seconds.
        name: told in the transcript; events are each subscriber's own.

    Raises:
        ServerUnreachable: nobody greets at the control address within ``patience``.
    """

    def __init__(self, target: Target, transcript: Transcript, patience: float, name: str) -> None:
        self.target = target
        self.transcript = transcript
        self.patience = patience
        self.name = name
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self.control = self.open(zmq.DEALER)
        self._open: list[Exchange] = []
        self._sent_at: dict[Exchange, float] = {}
        self._done: set[str | None] = set()
        self._monitor = self.control.get_monitor_socket(_LINK_EVENTS)
        self.control.connect(target.control)
        try:
            if self._next_link_event() != zmq.Event.HANDSHAKE_SUCCEEDED:
                raise ServerUnreachable(f"no ZeroMQ peer answers at {target.control}")
        except BaseException:
            self.close()
            raise
        self.accepts_arrays = False
        """Whether it has said that it takes arrays of events."""
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
        """Return a further socket, which is closed with this one."""
        sock = self._context.socket(kind)
        self._sockets.append(sock)
        sock.linger = 0
        sock.sndhwm = sock.rcvhwm = 0
        return sock

    def close(self) -> None:
        """Close every socket; what was not sent is not."""
        self.control.disable_monitor()
        for sock in self._sockets:
            sock.close()
        self._context.destroy(linger=0)  # The monitor's own socket, too.

    # -- control ------------------------------------------------------------------------------

    def send(self, *frames: bytes, request_id: str | None = None) -> Exchange:
        """Send these frames as one message; the transcript keeps the last one."""
        exchange = Exchange(frames[-1][:MAX_KEPT], request_id)
        self.transcript.entries.append(exchange)
        self._open.append(exchange)
        self._sent_at[exchange] = time.monotonic()
        self.control.send_multipart(frames)
        return exchange

    def await_reply(self, exchange: Exchange, patience: float | None = None) -> Message:
        """Return the reply to a request, taking in all that comes before it.

        Raises:
            Violation: none came within ``patience``, or it is no JSON object.
        """
        patience = self.patience if patience is None else patience
        deadline = time.monotonic() + patience
        while exchange.reply_frames is None:
            if not self.receive_reply(deadline):
                raise Violation(
                    f"no reply came within {patience:g} s", "C-012", shown=exchange.lines()
                )
        if not exchange.reply:
            raise Violation("the reply is not one frame of JSON", "C-011", shown=exchange.lines())
        return exchange.reply

    def receive_reply(self, deadline: float) -> bool:
        """Take one reply from the socket, whosever it is; return False when none came in time."""
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
        self._open.remove(exchange)
        self._done.add(exchange.request_id)
        return True

    def _find(self, request_id: object) -> Exchange | None:
        """Return the request that a reply is for; one with a wrong name is for the oldest."""
        for exchange in self._open:
            if exchange.request_id == request_id:
                return exchange
        named = isinstance(request_id, str) and request_id in self._done
        return self._open[0] if self._open and not named else None

    def receive(self, sock: zmq.Socket[bytes]) -> list[bytes]:
        """Return what comes on a socket of a check's own.

        Raises:
            Violation: nothing does.
        """
        frames = _receive(sock, time.monotonic() + self.patience)
        if frames is None:
            raise Violation(f"no reply came within {self.patience:g} s")
        return frames

    def await_disconnect(self) -> bool:
        """Whether the server ends the control connection within the patience."""
        return self._next_link_event() == zmq.Event.DISCONNECTED

    def _next_link_event(self) -> int | None:
        frames = _receive(self._monitor, time.monotonic() + self.patience)
        return None if frames is None else parse_monitor_message(frames)["event"]

    # -- data -----------------------------------------------------------------------------------

    def receive_event(self, deadline: float) -> Event | None:
        """Return the next event that this wire has subscribed to, or None at the deadline.

        Raises:
            Violation: a message is not a topic and a JSON object, nor an array where one may be.
        """
        if not self._events:
            frames = _receive(self.data, deadline)
            if frames is None:
                return None
            self._events.extend(self._take_apart(frames))
        event = self._events.popleft()
        self.transcript.entries.append(event)
        if not event.body:
            raise Violation("an event is not a topic and a JSON object", "C-133", event.lines())
        return event

    def _take_apart(self, frames: list[bytes]) -> list[Event]:
        """Return each event of a message."""
        bodies = _read_array(frames[1:])
        if bodies is None:
            return [Event(id(self), frames, _read(frames[1:]))]
        batch = [Event(id(self), [frames[0], json.dumps(body).encode()], body) for body in bodies]
        shown = Event(id(self), frames, Message()).lines()
        if not self.accepts_arrays:
            raise Violation("an array came, and who gets it did not ask for it", "C-208", shown)
        if len({event.body.get("execution_id") for event in batch}) != 1 or len(batch) < 2:
            raise Violation("an array is not of several events of one execution", "C-207", shown)
        return batch


def _receive(sock: zmq.Socket[bytes], deadline: float) -> list[bytes] | None:
    """Return the next message, or None when none has come by the deadline."""
    # A timeout of the socket's own: a REQ may be readable by what it then drops.
    sock.rcvtimeo = max(0, math.ceil((deadline - time.monotonic()) * 1000))
    try:
        return sock.recv_multipart()
    except zmq.Again:
        return None


def _read(body: list[bytes]) -> Message:
    """Return the object in a body of one frame; an empty one where there is none."""
    value = _read_value(body)
    return value if isinstance(value, Message) else Message()


def _read_array(body: list[bytes]) -> list[Message] | None:
    """Return the objects of the array in a body of one frame; None where there is none."""
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
