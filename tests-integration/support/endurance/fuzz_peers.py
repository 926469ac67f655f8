"""Attackers of a server: a DEALER that checks its replies, and a plain socket."""

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

__all__ = ["RawConnection", "RequestPeer"]

_CONNECT_SECONDS = 0.2
_ANSWER_SECONDS = 2.0
_SEND_SECONDS = 0.05
_SHOWN_VIOLATIONS = 5
# The limits of a message and of an envelope, without the identity that a ROUTER adds.
_MAX_FRAMES = 19
_MAX_ENVELOPE_FRAMES = 15
_MAX_ENVELOPE_BYTES = 4096 - 5
# RST instead of FIN: TIME_WAIT of tens of thousands of connections would exhaust the ports.
_NO_LINGER = struct.pack("ii", 1, 0)


class RequestPeer:
    """A DEALER that sends arbitrary messages, and expects one well-formed reply to each.

    Replies arrive in any order, since some requests are held; each has its request's envelope.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, name: str) -> None:
        self.replies = 0
        self.violations: list[str] = []
        self._name = name
        self._units: deque[int] = deque()
        self._outstanding = 0
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

    def send(self, unit: int, frames: list[bytes]) -> None:
        """Send a message."""
        self._outstanding += 1
        self._units.append(unit)
        if len(self._units) > 2 * self._outstanding + 1000:
            self._units.popleft()
        envelope = _envelope(frames)
        self._envelopes[envelope] = self._envelopes.get(envelope, 0) + 1
        self._socket.send_multipart(frames)

    def receive(self, window: int, seconds: float) -> None:
        """Receive replies, and wait until at most ``window`` requests are outstanding."""
        deadline = time.monotonic() + seconds
        while self._outstanding:
            patience = deadline - time.monotonic() if self._outstanding > window else 0.0
            if not self._socket.poll(int(1000 * max(0.0, patience))):
                break
            self._read(self._socket.recv_multipart())
        if self._outstanding > window:
            self._report(f"{self._outstanding:,} messages have no reply after {seconds:g} s")
            self._outstanding = 0

    def finish(self, seconds: float) -> None:
        """Wait for all replies; a final ping shows that no request got two."""
        self.receive(0, seconds)
        if self.violations:
            return
        self.send(-1, [b"", b'{"type":"ping","request_id":"the last"}'])
        if not self._socket.poll(int(1000 * seconds)):
            self._report("the final ping has no reply")
            return
        frames = self._socket.recv_multipart()
        if json.loads(frames[-1]).get("request_id") != "the last":
            self._report(f"an extra reply: {frames[-1][:200]!r}")

    def _read(self, frames: list[bytes]) -> None:
        self._outstanding -= 1
        self.replies += 1
        envelope = tuple(frames[:-1])
        count = self._envelopes.get(envelope, 0) - 1
        if count < 0:
            self._report(f"a reply in an envelope of {len(envelope)} frames that was not sent")
        elif count:
            self._envelopes[envelope] = count
        else:
            del self._envelopes[envelope]
        try:
            decode_reply(frames[-1])
        except DecodeError as error:
            self._report(f"a reply is not well-formed ({error}): {frames[-1][:200]!r}")

    def _report(self, what: str) -> None:
        if len(self.violations) < _SHOWN_VIOLATIONS:
            units = f"units {self._units[0]} to {self._units[-1]}" if self._units else "no unit"
            self.violations.append(f"{self._name}: {what} ({units})")


def _envelope(frames: list[bytes]) -> tuple[bytes, ...]:
    """Return the envelope of the reply: the frames up to the first empty one, or no frame.

    Of an envelope that is too long (C-231), only the delimiter.
    """
    kept = frames[:_MAX_FRAMES]
    if b"" not in kept:
        return (b"",) if len(kept) == _MAX_FRAMES else ()
    envelope = tuple(kept[: kept.index(b"") + 1])
    size = sum(map(len, envelope))
    is_long = len(envelope) > _MAX_ENVELOPE_FRAMES or size > _MAX_ENVELOPE_BYTES
    return (b"",) if is_long else envelope


class RawConnection:
    """A plain socket connected to a server.

    Raises:
        OSError: the connection was refused, or not accepted in time.
    """

    def __init__(self, address: str | tuple[str, int]) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.settimeout(_CONNECT_SECONDS)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        if not isinstance(address, str):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

    def play(self, script: Script) -> None:
        """Send the stages, until the server disconnects or does not read."""
        with contextlib.suppress(OSError):  # The server may disconnect.
            if script.handshake:
                self._shake_hands(script.handshake)
            self._socket.settimeout(_SEND_SECONDS)
            for stage in script.stages:
                self._socket.sendall(stage)

    def _shake_hands(self, handshake: bytes) -> None:
        """Send a handshake, and receive the server's."""
        self._socket.settimeout(_ANSWER_SECONDS)
        self._socket.sendall(handshake)
        received = b""
        while b"READY" not in received:
            part = self._socket.recv(1000)
            if not part:
                raise ConnectionError("the server disconnected")
            received += part

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
