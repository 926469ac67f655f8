"""Messages that no client of this project sends, each a function of its random source.

They are mutations of the valid vectors that zmqruntime-messages ships.
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
# A valid one would stop the server.
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


def mutated_request(rng: random.Random) -> bytes:
    """Return a mutated request, which may still be valid."""
    if rng.randrange(10) == 0:
        return rng.choice(vectors("invalid"))
    return rng.choice(_MUTATIONS)(rng, rng.choice(vectors("valid")))


def _as_is(rng: random.Random, frame: bytes) -> bytes:
    return frame


def _random_bytes(rng: random.Random, frame: bytes) -> bytes:
    return rng.randbytes(rng.randrange(200))


def _replace_bytes(rng: random.Random, frame: bytes) -> bytes:
    at = rng.randrange(len(frame))
    return frame[:at] + rng.randbytes(rng.randrange(4)) + frame[at + 1 :]


def _cut_out(rng: random.Random, frame: bytes) -> bytes:
    first, second = sorted(rng.choices(range(len(frame)), k=2))
    return frame[:first] + frame[second:]


def _repeat_part(rng: random.Random, frame: bytes) -> bytes:
    first, second = sorted(rng.choices(range(len(frame)), k=2))
    return frame[:second] + frame[first:second] * rng.randrange(1, 20) + frame[second:]


def _splice(rng: random.Random, frame: bytes) -> bytes:
    other = rng.choice(vectors("valid"))
    return frame[: rng.randrange(len(frame))] + other[rng.randrange(len(other)) :]


def _drop_field(rng: random.Random, frame: bytes) -> bytes:
    request = json.loads(frame)
    request.pop(rng.choice(list(request)))
    return json.dumps(request).encode()


def _set_field(rng: random.Random, frame: bytes) -> bytes:
    request = json.loads(frame)
    request[rng.choice([*request, "surplus"])] = rng.choice(NASTY)
    return json.dumps(request).encode()


def _set_inner_field(rng: random.Random, frame: bytes) -> bytes:
    request = json.loads(frame)
    inner = [value for value in request.values() if isinstance(value, dict) and value]
    if inner:
        part = rng.choice(inner)
        part[rng.choice([*part, "surplus"])] = rng.choice(NASTY)
    return json.dumps(request).encode()


def _other_encoding(rng: random.Random, frame: bytes) -> bytes:
    return frame.decode().encode(rng.choice(["utf-16", "utf-32", "utf-8-sig", "utf-7"]))


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


def large_request(rng: random.Random) -> bytes:
    """Return a request of 0.1 to 2 MB, most of it in a field that is short otherwise."""
    size = rng.randrange(100_000, 2_000_000)
    execute = {"type": "execute", "client_id": "fuzz", "task": {"do": "echo"}}
    what = rng.randrange(8)
    if what == 0:
        return json.dumps(execute | {"retry_on": ["wrong"] * (size // 10)}).encode()
    if what == 1:
        labels = {f"{n}": "x" for n in range(size // 16)}
        return json.dumps(execute | {"labels": labels}).encode()
    if what == 2:
        return json.dumps(
            execute | {rng.choice(["client_id", "execution_id"]): "x" * size}
        ).encode()
    if what == 3:
        return json.dumps({"type": "ping"} | {f"k{n}": 0 for n in range(size // 12)}).encode()
    if what == 4:
        return json.dumps(
            {"type": rng.choice(["ping", "x" * size]), "request_id": "x" * size}
        ).encode()
    if what == 5:
        return b'{"type":"ping","limit":' + b"[" * size
    if what == 6:
        return b'{"type":"execute","client_id":"fuzz","task":' + b'{"a":' * (size // 6) + b"1"
    return b'{"type":"ping","limit":' + b"9" * size + b"}"


def odd_envelope(rng: random.Random) -> Frames:
    """Return the frames of a DEALER's message: a ping with too few or too many other frames."""
    what = rng.randrange(7)
    if what == 0:  # without a delimiter
        return [rng.randbytes(rng.randrange(1, 40)) for _ in range(rng.randrange(1, 6))]
    if what == 1:  # without a body
        return [*_hops(rng), b""]
    if what == 2:  # with several bodies
        return [*_hops(rng), b"", *[PING] * rng.randrange(2, 300)]
    if what == 3:  # with several delimiters
        return [*_hops(rng), *[b""] * rng.randrange(2, 300), PING]
    if what == 4:  # through many hops
        return [*(rng.randbytes(5) for _ in range(rng.randrange(300))), b"", PING]
    if what == 5:  # through one hop with a long name
        return [rng.randbytes(rng.randrange(1, 70_000)), b"", PING]
    return [*_hops(rng), b"", PING]


def _hops(rng: random.Random) -> Frames:
    return [rng.randbytes(rng.randrange(1, 300)) for _ in range(rng.randrange(4))]


def subscription(rng: random.Random) -> Frames:
    """Return the frames of an XSUB's message: a subscription, its end, or an invalid message.

    None is so long that the publisher would disconnect the peer.
    """
    what = rng.randrange(12)
    if what == 0:
        return [rng.choice([b"\x00", b"\x02", b"", b"\xff"]) + rng.randbytes(rng.randrange(50))]
    if what == 1:
        return [rng.randbytes(rng.randrange(20)) for _ in range(rng.randrange(2, 20))]
    if what == 2:
        return [b"\x01" + rng.randbytes(rng.randrange(800, 1000))]
    if what == 3:
        return [b"\x01" + b"x" * rng.randrange(1000) + b"/"]
    if what in (4, 5):
        return [b"\x01" + b"fuzz-%d/" % rng.randrange(10**6)]
    return [b"\x01" + rng.randbytes(rng.randrange(40))]
