"""Raw connections below ZeroMQ, each a function of its random source: bytes to send in stages.

ZMTP: https://rfc.zeromq.org/spec/23 (3.0), /spec/15 (2.0), /spec/13 (1.0).
"""

from __future__ import annotations

import json
import random
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

__all__ = ["Script", "giant", "greeting", "handshake", "subscriber"]


@dataclass(frozen=True, slots=True)
class Script:
    """The bytes that one connection sends."""

    stages: tuple[bytes, ...]
    """Sent in order; the server may reply or disconnect between any two."""
    handshake: bytes = b""
    """A valid handshake to send first. The server's own has to be awaited: libzmq disconnects a
    peer whose first message arrives before it has sent its READY."""


MORE, LONG, COMMAND = 1, 2, 4
_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
_MECHANISMS = [b"NULL", b"PLAIN", b"CURVE", b"GSSAPI", b"", b"\xff" * 20, b"null"]
_TYPES = [b"DEALER", b"REQ", b"SUB", b"XSUB", b"REP", b"PUB", b"", b"x" * 200]


def _greet(mechanism: bytes = b"NULL", version: bytes = b"\x03\x00") -> bytes:
    return _SIGNATURE + version + mechanism.ljust(20, b"\x00")[:20] + bytes(32)


def _frame(body: bytes, flags: int = 0) -> bytes:
    if len(body) > 255:
        return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body
    return bytes([flags, len(body)]) + body


def _ready(socket_type: bytes, *properties: tuple[bytes, bytes]) -> bytes:
    parts = [
        bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
        for name, value in ((b"Socket-Type", socket_type), *properties)
    ]
    return _frame(b"\x05READY" + b"".join(parts), COMMAND)


def handshake(socket_type: bytes = b"DEALER") -> bytes:
    """Return what a valid NULL peer sends before its first message."""
    return _greet() + _ready(socket_type)


def greeting(rng: random.Random, planted: Path) -> Script:
    """Return a connection that is invalid in its handshake or shortly after it.

    Args:
        planted: the file that a task creates if it is accepted without a handshake.
    """
    what = rng.randrange(10)
    if what == 0:
        valid = handshake()
        return _in_stages(rng, valid[: rng.randrange(len(valid))])
    if what == 1:
        version = rng.choice([b"\x03\x01", b"\x02\x00", b"\x01\x00", b"\x00\x00", b"\x7f\xff"])
        return _in_stages(rng, _greet(rng.choice(_MECHANISMS), version) + rng.randbytes(40))
    if what == 2:
        return _in_stages(rng, rng.randbytes(rng.randrange(1, 300)))
    if what == 3:
        return _in_stages(rng, _http(rng, planted))
    if what == 4:
        return _in_stages(rng, _zmtp_1(rng, planted))
    if what == 5:  # ZMTP 2.0: a signature, the revision, the type, an empty identity
        kind = bytes([rng.randrange(12)])
        return _in_stages(rng, _SIGNATURE + b"\x01" + kind + b"\x00\x00" + rng.randbytes(20))
    if what == 6:
        name, value = rng.randbytes(rng.randrange(200)), rng.randbytes(rng.randrange(3000))
        return _in_stages(rng, _greet() + _ready(rng.choice(_TYPES), (name, value)))
    if what == 7:
        command = rng.choice([b"PING", b"PONG", b"SUBSCRIBE", b"ERROR", b"HELLO", b"x" * 255])
        body = bytes([len(command)]) + command + rng.randbytes(rng.randrange(70))
        return Script((_frame(body, COMMAND),), handshake())
    if what == 8:
        return Script((rng.randbytes(rng.randrange(1, 300)),), handshake())
    ping = _in_stages(rng, _frame(b"", MORE) + _frame(b'{"type":"ping"}'))
    return Script(ping.stages, handshake())


def giant(rng: random.Random, max_message_bytes: int) -> Script:
    """Return a connection with a message that is too long or never ends."""
    what = rng.randrange(6)
    delimiter = _frame(b"", MORE)
    if what == 0:
        length = rng.choice([2**62, 2**63, 2**64 - 1, 2**32, max_message_bytes + 1])
        return Script((delimiter + _claim(length) + rng.randbytes(100),), handshake())
    if what == 1:  # Announces the maximal length, and sends the first 1,000 bytes.
        claim = delimiter + _claim(max_message_bytes) + rng.randbytes(1000)
        return Script((claim,), handshake())
    if what == 2:  # Many short frames, without a last one.
        return Script((delimiter, *[_frame(b"x", MORE) * 1000] * 5), handshake())
    if what == 3:  # A few long frames, without a last one.
        return Script((delimiter, *[_frame(bytes(65_536), MORE)] * 16), handshake())
    if what == 4:  # A command that is too long.
        return Script((_claim(2**40, COMMAND) + bytes(1000),), handshake())
    return Script((_greet(), _claim(2**62, COMMAND) + bytes(1000)))


def _claim(length: int, flags: int = 0) -> bytes:
    """Return the header of a long frame."""
    return bytes([LONG | flags]) + struct.pack(">Q", length)


def subscriber(rng: random.Random, messages: list[list[bytes]]) -> Script:
    """Return a connection to the data port that sends these messages."""
    sent = [
        b"".join([*(_frame(part, MORE) for part in parts[:-1]), _frame(parts[-1])])
        for parts in messages
    ]
    return Script((b"".join(sent),), handshake(rng.choice([b"SUB", b"XSUB"])))


def _in_stages(rng: random.Random, data: bytes) -> Script:
    cuts = sorted(rng.choices(range(len(data) + 1), k=rng.randrange(3)))
    edges = [0, *cuts, len(data)]
    return Script(tuple(data[a:b] for a, b in pairwise(edges) if a < b))


def _plant(planted: Path) -> bytes:
    task = {"do": "touch", "path": str(planted)}
    request = {"type": "execute", "client_id": "w", "task": task}
    body = json.dumps(request, separators=(",", ":")).encode()
    assert len(body) < 254, f"{planted} is too long a path for a short frame"
    return body


def _zmtp_1(rng: random.Random, planted: Path) -> bytes:
    """Return frames of ZMTP 1.0: length, flags and body, without a handshake."""
    if rng.randrange(4) == 0:
        return rng.randbytes(1)[:1].replace(b"\xff", b"\x01") + rng.randbytes(100)
    body = _plant(planted)
    return b"\x01\x00" + b"\x01\x01" + bytes([len(body) + 1, 0]) + body


def _http(rng: random.Random, planted: Path) -> bytes:
    """Return a POST as a web page can send it: libzmq reads its letters as frame lengths.

    The body begins with empty frames, so that a frame begins where the task does.
    """
    body = b"\x01" * 256 + b"\x02\x01\x01" + _zmtp_1(rng, planted)
    agent = b"x" * rng.randrange(100)
    head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\nUser-Agent: %s\r\n\r\n"
    return head.encode() % (len(body), agent) + body
