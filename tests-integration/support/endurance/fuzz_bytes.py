"""Connections below ZeroMQ, each a function of its random source alone: bytes to send in stages.

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
    """What one connection sends."""

    stages: tuple[bytes, ...]
    """One after the other; the server may answer, or hang up, between any two."""
    agreement: bytes = b""
    """A sound handshake to send first. The server's own has to be awaited: libzmq drops a peer
    whose first message comes before it has sent its READY."""


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
    """Return all that a sound peer without keys sends before its first message."""
    return _greet() + _ready(socket_type)


def greeting(dice: random.Random, planted: Path) -> Script:
    """Return a connection that goes wrong before, or soon after, the two have agreed.

    Args:
        planted: the file that a task makes which comes by a greeting without a mechanism.
    """
    what = dice.randrange(10)
    if what == 0:
        sound = handshake()
        return _in_stages(dice, sound[: dice.randrange(len(sound))])
    if what == 1:
        version = dice.choice([b"\x03\x01", b"\x02\x00", b"\x01\x00", b"\x00\x00", b"\x7f\xff"])
        return _in_stages(dice, _greet(dice.choice(_MECHANISMS), version) + dice.randbytes(40))
    if what == 2:
        return _in_stages(dice, dice.randbytes(dice.randrange(1, 300)))
    if what == 3:
        return _in_stages(dice, _http(dice, planted))
    if what == 4:
        return _in_stages(dice, _zmtp_1(dice, planted))
    if what == 5:  # ZMTP 2.0: a signature, the revision, the type, an empty identity
        kind = bytes([dice.randrange(12)])
        return _in_stages(dice, _SIGNATURE + b"\x01" + kind + b"\x00\x00" + dice.randbytes(20))
    if what == 6:
        name, value = dice.randbytes(dice.randrange(200)), dice.randbytes(dice.randrange(3000))
        return _in_stages(dice, _greet() + _ready(dice.choice(_TYPES), (name, value)))
    if what == 7:
        command = dice.choice([b"PING", b"PONG", b"SUBSCRIBE", b"ERROR", b"HELLO", b"x" * 255])
        body = bytes([len(command)]) + command + dice.randbytes(dice.randrange(70))
        return Script((_frame(body, COMMAND),), handshake())
    if what == 8:
        return Script((dice.randbytes(dice.randrange(1, 300)),), handshake())
    ping = _in_stages(dice, _frame(b"", MORE) + _frame(b'{"type":"ping"}'))
    return Script(ping.stages, handshake())


def giant(dice: random.Random, max_message_bytes: int) -> Script:
    """Return a connection with a message that is too long, or that never ends."""
    what = dice.randrange(6)
    delimiter = _frame(b"", MORE)
    if what == 0:
        length = dice.choice([2**62, 2**63, 2**64 - 1, 2**32, max_message_bytes + 1])
        return Script((delimiter + _claim(length) + dice.randbytes(100),), handshake())
    if what == 1:  # As long as is allowed, and most of it does not come.
        claim = delimiter + _claim(max_message_bytes) + dice.randbytes(1000)
        return Script((claim,), handshake())
    if what == 2:  # Many short frames, and never the last.
        return Script((delimiter, *[_frame(b"x", MORE) * 1000] * 5), handshake())
    if what == 3:  # A few long frames, and never the last.
        return Script((delimiter, *[_frame(bytes(65_536), MORE)] * 16), handshake())
    if what == 4:  # A command that is too long.
        return Script((_claim(2**40, COMMAND) + bytes(1000),), handshake())
    return Script((_greet(), _claim(2**62, COMMAND) + bytes(1000)))


def _claim(length: int, flags: int = 0) -> bytes:
    """Return the head of a long frame."""
    return bytes([LONG | flags]) + struct.pack(">Q", length)


def subscriber(dice: random.Random, messages: list[list[bytes]]) -> Script:
    """Return a connection to the data port that sends these messages."""
    sent = [
        b"".join([*(_frame(part, MORE) for part in parts[:-1]), _frame(parts[-1])])
        for parts in messages
    ]
    return Script((b"".join(sent),), handshake(dice.choice([b"SUB", b"XSUB"])))


def _in_stages(dice: random.Random, data: bytes) -> Script:
    cuts = sorted(dice.choices(range(len(data) + 1), k=dice.randrange(3)))
    edges = [0, *cuts, len(data)]
    return Script(tuple(data[a:b] for a, b in pairwise(edges) if a < b))


def _plant(planted: Path) -> bytes:
    task = {"do": "touch", "path": str(planted)}
    request = {"type": "execute", "client_id": "w", "task": task}
    body = json.dumps(request, separators=(",", ":")).encode()
    assert len(body) < 254, f"{planted} is too long a path for a short frame"
    return body


def _zmtp_1(dice: random.Random, planted: Path) -> bytes:
    """Return frames of ZMTP 1.0: a length, then flags and body, without any handshake."""
    if dice.randrange(4) == 0:
        return dice.randbytes(1)[:1].replace(b"\xff", b"\x01") + dice.randbytes(100)
    body = _plant(planted)
    return b"\x01\x00" + b"\x01\x01" + bytes([len(body) + 1, 0]) + body


def _http(dice: random.Random, planted: Path) -> bytes:
    """Return what a web page can have a browser send: to libzmq each letter may be a length.

    The body begins with empty frames, by which the two come to agree where a frame begins.
    """
    body = b"\x01" * 256 + b"\x02\x01\x01" + _zmtp_1(dice, planted)
    agent = b"x" * dice.randrange(100)
    head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\nUser-Agent: %s\r\n\r\n"
    return head.encode() % (len(body), agent) + body
