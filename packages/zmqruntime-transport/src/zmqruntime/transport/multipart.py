"""Multipart messages, at half the cost of pyzmq's own helpers for small ones."""

from __future__ import annotations

import zmq
import zmq.backend

from zmqruntime.transport.envelope import MAX_FRAMES

__all__ = ["drain", "receive_frames", "send_frames"]

# Plain integers: an operation on pyzmq's flags costs as much as a whole frame.
_DONTWAIT = int(zmq.DONTWAIT)
_DONTWAIT_MORE = int(zmq.DONTWAIT | zmq.SNDMORE)
# The method under `zmq.Socket.send`, without its handling of optional arguments.
_send = zmq.backend.Socket.send


def send_frames(sock: zmq.Socket[bytes], *frames: bytes, more: bool = False) -> None:
    """Send one message without blocking, or its beginning if there is ``more`` of it.

    Raises:
        zmq.Again: the socket is full; nothing of the message was sent.
    """
    for frame in frames[:-1]:
        _send(sock, frame, _DONTWAIT_MORE)
    _send(sock, frames[-1], _DONTWAIT_MORE if more else _DONTWAIT)


def receive_frames(sock: zmq.Socket[bytes]) -> list[bytes]:
    """Receive one message, or its first `MAX_FRAMES` frames, without blocking.

    Raises:
        zmq.Again: there is no message.
    """
    frames: list[bytes] = []
    more = True
    while more and len(frames) < MAX_FRAMES:
        # `more` of a frame costs half as much as the socket option.
        frame = sock.recv(_DONTWAIT, copy=False)
        frames.append(frame.bytes)
        more = frame.more
    while more:
        more = sock.recv(_DONTWAIT, copy=False).more
    return frames


def drain(sock: zmq.Socket[bytes], limit: int) -> list[list[bytes]]:
    """Receive up to ``limit`` messages without blocking."""
    messages: list[list[bytes]] = []
    try:
        while len(messages) < limit:
            messages.append(receive_frames(sock))
    except zmq.Again:
        pass  # The socket is empty.
    return messages
