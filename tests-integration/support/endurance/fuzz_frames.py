"""Messages that no client of this project sends, each a function of its random source alone.

The valid ones that they are made from are the vectors that zmqruntime-messages ships.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["Frames", "large_request", "mutated_request", "odd_envelope", "subscription"]

Frames = list[bytes]

PING = b'{"type":"ping"}'
NASTY: list[Any] = [
    *(None, True, -1, 0, 10**30, 1e308, "", "\x00", "\x1b[2J", "é/..", "\ud800"),
    *([], {}, [[]], {"a": {}}, "x" * 300, ["x"] * 300),
    {str(n): "x" for n in range(300)},
]
# A valid one would end the server.
_LEFT_OUT = b"shutdown"


@cache
def vectors(kind: str) -> tuple[bytes, ...]:
    """Return the frames of every ``valid``, or every ``invalid``, request among the vectors."""
    directory = resources.files("zmqruntime.messages") / "contract" / "vectors" / "request"
    files = sorted(directory.iterdir(), key=lambda file: file.name)
    known = (v for file in files for v in json.loads(file.read_text("utf-8")).get(kind, []))
    return tuple(frame for frame in map(_frame_of, known) if _LEFT_OUT not in frame)


def _frame_of(vector: dict[str, Any]) -> bytes:
    if "base64" in vector:
        return base64.b64decode(vector["base64"])
    text = vector["text"] if "text" in vector else json.dumps(vector["message"])
    return str(text).encode(errors="surrogatepass")


def mutated_request(dice: random.Random) -> bytes:
    """Return a request that was valid, and is perhaps valid still."""
    if dice.randrange(10) == 0:
        return dice.choice(vectors("invalid"))
    return dice.choice(_MUTATIONS)(dice, dice.choice(vectors("valid")))


def _as_is(dice: random.Random, frame: bytes) -> bytes:
    return frame


def _random_bytes(dice: random.Random, frame: bytes) -> bytes:
    return dice.randbytes(dice.randrange(200))


def _replace_bytes(dice: random.Random, frame: bytes) -> bytes:
    at = dice.randrange(len(frame))
    return frame[:at] + dice.randbytes(dice.randrange(4)) + frame[at + 1 :]


def _cut_out(dice: random.Random, frame: bytes) -> bytes:
    first, second = sorted(dice.choices(range(len(frame)), k=2))
    return frame[:first] + frame[second:]


def _repeat_part(dice: random.Random, frame: bytes) -> bytes:
    first, second = sorted(dice.choices(range(len(frame)), k=2))
    return frame[:second] + frame[first:second] * dice.randrange(1, 20) + frame[second:]


def _splice(dice: random.Random, frame: bytes) -> bytes:
    other = dice.choice(vectors("valid"))
    return frame[: dice.randrange(len(frame))] + other[dice.randrange(len(other)) :]


def _drop_field(dice: random.Random, frame: bytes) -> bytes:
    request = json.loads(frame)
    request.pop(dice.choice(list(request)))
    return json.dumps(request).encode()


def _set_field(dice: random.Random, frame: bytes) -> bytes:
    request = json.loads(frame)
    request[dice.choice([*request, "surplus"])] = dice.choice(NASTY)
    return json.dumps(request).encode()


def _set_inner_field(dice: random.Random, frame: bytes) -> bytes:
    request = json.loads(frame)
    inner = [value for value in request.values() if isinstance(value, dict) and value]
    if inner:
        part = dice.choice(inner)
        part[dice.choice([*part, "surplus"])] = dice.choice(NASTY)
    return json.dumps(request).encode()


def _other_encoding(dice: random.Random, frame: bytes) -> bytes:
    return frame.decode().encode(dice.choice(["utf-16", "utf-32", "utf-8-sig", "utf-7"]))


_MUTATIONS: list[Callable[[random.Random, bytes], bytes]] = [
    _as_is,
    _random_bytes,
    _replace_bytes,
    _replace_bytes,
    _cut_out,
    _repeat_part,
    _splice,
    _drop_field,
    _set_field,
    _set_field,
    _set_inner_field,
    _other_encoding,
]


def large_request(dice: random.Random) -> bytes:
    """Return a request of 0.1 to 2 MB, most of which is in a place where little belongs."""
    size = dice.randrange(100_000, 2_000_000)
    execute = {"type": "execute", "client_id": "fuzz", "task": {"do": "echo"}}
    what = dice.randrange(8)
    if what == 0:
        return json.dumps(execute | {"retry_on": ["wrong"] * (size // 10)}).encode()
    if what == 1:
        labels = {f"{n}": "x" for n in range(size // 16)}
        return json.dumps(execute | {"labels": labels}).encode()
    if what == 2:
        return json.dumps(
            execute | {dice.choice(["client_id", "execution_id"]): "x" * size}
        ).encode()
    if what == 3:
        return json.dumps({"type": "ping"} | {f"k{n}": 0 for n in range(size // 12)}).encode()
    if what == 4:
        return json.dumps(
            {"type": dice.choice(["ping", "x" * size]), "request_id": "x" * size}
        ).encode()
    if what == 5:
        return b'{"type":"ping","limit":' + b"[" * size
    if what == 6:
        return b'{"type":"execute","client_id":"fuzz","task":' + b'{"a":' * (size // 6) + b"1"
    return b'{"type":"ping","limit":' + b"9" * size + b"}"


def odd_envelope(dice: random.Random) -> Frames:
    """Return what a DEALER sends: frames around a ping, in too small or too large a number."""
    what = dice.randrange(7)
    if what == 0:  # without a delimiter
        return [dice.randbytes(dice.randrange(1, 40)) for _ in range(dice.randrange(1, 6))]
    if what == 1:  # without a body
        return [*_hops(dice), b""]
    if what == 2:  # with several bodies
        return [*_hops(dice), b"", *[PING] * dice.randrange(2, 300)]
    if what == 3:  # with several delimiters
        return [*_hops(dice), *[b""] * dice.randrange(2, 300), PING]
    if what == 4:  # through many hops
        return [*(dice.randbytes(5) for _ in range(dice.randrange(300))), b"", PING]
    if what == 5:  # through one hop with a long name
        return [dice.randbytes(dice.randrange(1, 70_000)), b"", PING]
    return [*_hops(dice), b"", PING]


def _hops(dice: random.Random) -> Frames:
    return [dice.randbytes(dice.randrange(1, 300)) for _ in range(dice.randrange(4))]


def subscription(dice: random.Random) -> Frames:
    """Return what an XSUB sends to a publisher: a subscription, its end, or neither.

    None is so long that the publisher would drop the connection, and with it what comes behind.
    """
    what = dice.randrange(12)
    if what == 0:
        return [dice.choice([b"\x00", b"\x02", b"", b"\xff"]) + dice.randbytes(dice.randrange(50))]
    if what == 1:
        return [dice.randbytes(dice.randrange(20)) for _ in range(dice.randrange(2, 20))]
    if what == 2:
        return [b"\x01" + dice.randbytes(dice.randrange(800, 1000))]
    if what == 3:
        return [b"\x01" + b"x" * dice.randrange(1000) + b"/"]
    if what in (4, 5):
        return [b"\x01" + b"fuzz-%d/" % dice.randrange(10**6)]
    return [b"\x01" + dice.randbytes(dice.randrange(40))]
