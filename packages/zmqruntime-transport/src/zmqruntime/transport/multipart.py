"""Multipart messages, at half of what pyzmq's own helpers cost for small ones."""

from __future__ import annotations

import zmq
import zmq.backend

from zmqruntime.transport.envelope import MAX_FRAMES

__all__ = ["drain", "receive_frames", "send_frames"]

# Plain integers: an operation on pyzmq's flags costs as much as a whole frame.
_DONTWAIT = int(zmq.DONTWAIT)
_DONTWAIT_MORE = int(zmq.DONTWAIT | zmq.SNDMORE)
# The method under `zmq.Socket.send`, which first looks for arguments that none of ours has.
_send = zmq.backend.Socket.send


def send_frames(sock: zmq.Socket[bytes], *frames: bytes, more: bool = False) -> None:
    """Send one message, without blocking; or its beginning, when there is ``more`` of it.

    Raises:
        zmq.Again: the socket takes none now; nothing of the message was sent.
    """
    for frame in frames[:-1]:
        _send(sock, frame, _DONTWAIT_MORE)
    _send(sock, frames[-1], _DONTWAIT_MORE if more else _DONTWAIT)


def receive_frames(sock: zmq.Socket[bytes]) -> list[bytes]:
    """Receive one message, or its first `MAX_FRAMES` frames, without blocking.

    Raises:
        zmq.Again: there is none.
    """
    frames: list[bytes] = []
    more = True
    while more and len(frames) < MAX_FRAMES:
        # A frame knows whether another one follows; asking the socket costs twice as much.
        frame = sock.recv(_DONTWAIT, copy=False)
        frames.append(frame.bytes)
        more = frame.more
    while more:
        more = sock.recv(_DONTWAIT, copy=False).more
    return frames


def drain(sock: zmq.Socket[bytes], most: int) -> list[list[bytes]]:
    """Return the messages that wait in a socket, up to ``most`` of them, without blocking."""
    messages: list[list[bytes]] = []
    try:
        while len(messages) < most:
            messages.append(receive_frames(sock))
    except zmq.Again:
        pass  # These were all.
    return messages
