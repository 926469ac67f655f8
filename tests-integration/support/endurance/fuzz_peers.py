"""What attacks a server: a DEALER that keeps count of its replies, and a plain socket."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections import deque
from types import TracebackType
from typing import Self

import zmq
from endurance.fuzz_bytes import Script

from zmqruntime.messages import DecodeError, decode_reply

__all__ = ["Asker", "Intruder"]

_CONNECT_SECONDS = 0.2
_ANSWER_SECONDS = 2.0
_SEND_SECONDS = 0.05
_SHOWN_FAULTS = 5
# What a server keeps of one message, and accepts as an envelope, beside the identity that its
# ROUTER puts in front.
_MAX_FRAMES = 19
_MAX_ENVELOPE_FRAMES = 15
_MAX_ENVELOPE_BYTES = 4096 - 5
# RST instead of FIN: tens of thousands of connections would else use up the ports (TIME_WAIT).
_NO_LINGER = struct.pack("ii", 1, 0)


class Asker:
    """A DEALER that sends anything, and has one well-formed reply to each.

    Replies come in any order, as some requests are held; what stands before a reply's body is what
    stood before the request's.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, name: str) -> None:
        self.replies = 0
        self.faults: list[str] = []
        self._name = name
        self._units: deque[int] = deque()
        self._waiting = 0
        self._envelopes: dict[tuple[bytes, ...], int] = {}
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._socket.connect(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def ask(self, unit: int, frames: list[bytes]) -> None:
        """Send a message."""
        self._waiting += 1
        self._units.append(unit)
        if len(self._units) > 2 * self._waiting + 1000:
            self._units.popleft()
        envelope = _envelope(frames)
        self._envelopes[envelope] = self._envelopes.get(envelope, 0) + 1
        self._socket.send_multipart(frames)

    def take(self, window: int, seconds: float) -> None:
        """Read the replies that are there, and wait until no more than ``window`` are missing."""
        deadline = time.monotonic() + seconds
        while self._waiting:
            patience = deadline - time.monotonic() if self._waiting > window else 0.0
            if not self._socket.poll(int(1000 * max(0.0, patience))):
                break
            self._read(self._socket.recv_multipart())
        if self._waiting > window:
            self._complain(f"{self._waiting:,} messages have no reply after {seconds:g} s")
            self._waiting = 0

    def finish(self, seconds: float) -> None:
        """Wait for every reply; a further ping shows that there was no more than one to each."""
        self.take(0, seconds)
        if self.faults:
            return
        self.ask(-1, [b"", b'{"type":"ping","request_id":"the last"}'])
        if not self._socket.poll(int(1000 * seconds)):
            self._complain("a ping behind all else has no reply")
            return
        frames = self._socket.recv_multipart()
        if json.loads(frames[-1]).get("request_id") != "the last":
            self._complain(f"a reply too many: {frames[-1][:200]!r}")

    def _read(self, frames: list[bytes]) -> None:
        self._waiting -= 1
        self.replies += 1
        envelope = tuple(frames[:-1])
        left = self._envelopes.get(envelope, 0) - 1
        if left < 0:
            self._complain(f"a reply in an envelope of {len(envelope)} frames that was not sent")
        elif left:
            self._envelopes[envelope] = left
        else:
            del self._envelopes[envelope]
        try:
            decode_reply(frames[-1])
        except DecodeError as error:
            self._complain(f"a reply that is not well-formed ({error}): {frames[-1][:200]!r}")

    def _complain(self, what: str) -> None:
        if len(self.faults) < _SHOWN_FAULTS:
            units = f"units {self._units[0]} to {self._units[-1]}" if self._units else "no unit"
            self.faults.append(f"{self._name}: {what} ({units})")


def _envelope(frames: list[bytes]) -> tuple[bytes, ...]:
    """Return what comes back before a reply's body: all to the first empty frame, or nothing.

    Of an envelope that is too long (C-231), the delimiter alone.
    """
    kept = frames[:_MAX_FRAMES]
    if b"" not in kept:
        return (b"",) if len(kept) == _MAX_FRAMES else ()
    envelope = tuple(kept[: kept.index(b"") + 1])
    size = sum(map(len, envelope))
    is_long = len(envelope) > _MAX_ENVELOPE_FRAMES or size > _MAX_ENVELOPE_BYTES
    return (b"",) if is_long else envelope


class Intruder:
    """A plain socket that is connected to a server's port.

    Raises:
        OSError: it is refused, or not let in in time.
    """

    def __init__(self, door: str | tuple[str, int]) -> None:
        family = socket.AF_UNIX if isinstance(door, str) else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.settimeout(_CONNECT_SECONDS)
        try:
            self._socket.connect(door)
        except OSError:
            self._socket.close()
            raise
        if not isinstance(door, str):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

    def play(self, script: Script) -> None:
        """Send one stage after the other, as far as they are taken."""
        with contextlib.suppress(OSError):  # The server may have hung up, which is its right.
            if script.agreement:
                self._agree(script.agreement)
            self._socket.settimeout(_SEND_SECONDS)
            for stage in script.stages:
                self._socket.sendall(stage)

    def _agree(self, handshake: bytes) -> None:
        """Send a handshake, and wait for the server's."""
        self._socket.settimeout(_ANSWER_SECONDS)
        self._socket.sendall(handshake)
        answer = b""
        while b"READY" not in answer:
            part = self._socket.recv(1000)
            if not part:
                raise ConnectionError("the server hung up")
            answer += part

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
