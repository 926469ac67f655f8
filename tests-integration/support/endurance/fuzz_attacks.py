"""The attacks: each sends a number of units to a server and counts the replies.

A unit is a message or a connection. Unit ``n`` of an attack depends on the seed and ``n`` only.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from endurance import fuzz_bytes, fuzz_frames
from endurance.fuzz_peers import RawConnection, RequestPeer

from zmqruntime.transport import Endpoint, TransportMode

__all__ = [
    "ATTACKS",
    "FILES",
    "IDLE",
    "Attack",
    "Plan",
    "Tally",
    "Target",
    "has_unix_sockets",
    "idle_one_by_one",
]

PEERS, WINDOW = 8, 200
"""The number of peers, and how many requests of each may be outstanding."""
LARGE_WINDOW = 4
HELD_OPEN = 64
IDLE = 400
MESSAGES_EACH = 500
UNREAD_EACH = 100
UNREAD_BYTES = 500_000
_TIMEOUT_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Target:
    """The attacked server, and the file that a task of an attack would create."""

    endpoint: Endpoint
    max_message_bytes: int
    planted: Path


@dataclass(slots=True)
class Tally:
    """The counts of an attack, and its violations."""

    sent: int = 0
    replies: int = 0
    refused: int = 0
    """Connections that failed."""
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """The size, time limit and random source of one attack."""

    seed: int
    name: str
    units: int
    on_progress: Callable[[int], None]
    """Takes the number of units sent since the last call."""
    seconds: float = 600.0
    """The time limit: units that are not sent by then are a violation."""
    hold_seconds: float = 5.0
    """How long the last connections stay open while the well-behaved client works."""

    def hold(self) -> None:
        """Keep connections open for a while."""
        threading.Event().wait(self.hold_seconds)

    def rng(self, unit: int) -> random.Random:
        """Return the random source of a unit."""
        return random.Random(f"{self.seed} {self.name} {unit}")

    def numbers(self, tally: Tally, step: int = 1) -> Iterator[int]:
        """Yield every ``step``-th unit number, until the first violation."""
        deadline = time.monotonic() + self.seconds
        for unit in range(0, self.units, step):
            if tally.violations:
                return
            if time.monotonic() > deadline:
                tally.violations.append(
                    f"{self.name}: {unit:,} of {self.units:,} units were sent in {self.seconds:g} s"
                )
                return
            yield unit
            count = min(step, self.units - unit)
            tally.sent += count
            self.on_progress(count)


Attack = Callable[[Target, Plan, Tally], None]


def requests(target: Target, plan: Plan, tally: Tally) -> None:
    """Mutated requests: each gets one well-formed reply."""

    def make(rng: random.Random) -> list[bytes]:
        return _wrap(rng, fuzz_frames.mutated_request(rng))

    _send_requests(target, plan, tally, make, WINDOW)


def envelopes(target: Target, plan: Plan, tally: Tally) -> None:
    """Too few or too many frames around a request: each gets one reply in its envelope."""
    _send_requests(target, plan, tally, fuzz_frames.odd_envelope, WINDOW)


def large(target: Target, plan: Plan, tally: Tally) -> None:
    """Requests with fields of up to 2 MB: each gets one reply."""

    def make(rng: random.Random) -> list[bytes]:
        return _wrap(rng, fuzz_frames.large_request(rng))

    _send_requests(target, plan, tally, make, LARGE_WINDOW)


def _wrap(rng: random.Random, body: bytes) -> list[bytes]:
    """Return a message, half of the time with an envelope, which identifies its reply."""
    return [*([rng.randbytes(8)] if rng.randrange(2) else []), b"", body]


def _send_requests(
    target: Target,
    plan: Plan,
    tally: Tally,
    make: Callable[[random.Random], list[bytes]],
    window: int,
) -> None:
    with zmq.Context() as context, contextlib.ExitStack() as opened:
        peers = [
            opened.enter_context(RequestPeer(context, target.endpoint.control_address, plan.name))
            for _ in range(PEERS)
        ]
        for unit in plan.numbers(tally):
            peer = peers[unit % PEERS]
            peer.send(unit, make(plan.rng(unit)))
            peer.receive(window, _TIMEOUT_SECONDS)
            tally.violations += peer.violations
        for peer in peers:
            if not tally.violations:
                peer.finish(_TIMEOUT_SECONDS)
                tally.violations += peer.violations
            tally.replies += peer.replies


def greetings(target: Target, plan: Plan, tally: Tally) -> None:
    """Connections with an invalid handshake; some stay open for a while."""
    _connect_raw(
        target,
        plan,
        tally,
        lambda rng: fuzz_bytes.greeting(rng, target.planted),
        HELD_OPEN,
    )


def giants(target: Target, plan: Plan, tally: Tally) -> None:
    """Messages that are too long or never end; some connections stay open for a while."""
    _connect_raw(
        target,
        plan,
        tally,
        lambda rng: fuzz_bytes.giant(rng, target.max_message_bytes),
        HELD_OPEN // 4,
    )


def idle(target: Target, plan: Plan, tally: Tally) -> None:
    """Many idle connections."""

    def make(rng: random.Random) -> fuzz_bytes.Script:
        whole = fuzz_bytes.handshake(rng.choice([b"DEALER", b"SUB"]))
        return fuzz_bytes.Script((whole[: rng.choice([0, 1, 10, 11, 64, len(whole)])],))

    _connect_raw(target, plan, tally, make, IDLE)


def idle_one_by_one(target: Target, plan: Plan, tally: Tally) -> None:
    """Idle connections, each opened after the handshake or the end of the previous one.

    At the file limit, libzmq ends the process when hundreds of ipc connections arrive within
    milliseconds (configuration.md#bounds).
    """

    def make(rng: random.Random) -> fuzz_bytes.Script:
        whole = fuzz_bytes.handshake(b"DEALER")
        return fuzz_bytes.Script((), handshake=whole)

    _connect_raw(target, plan, tally, make, 2 * IDLE)


def _connect_raw(
    target: Target,
    plan: Plan,
    tally: Tally,
    make: Callable[[random.Random], fuzz_bytes.Script],
    held_open: int,
) -> None:
    addresses = _addresses(target.endpoint)
    with contextlib.ExitStack() as stack:
        connections: deque[RawConnection] = deque()
        stack.callback(lambda: _close_all(connections))
        for unit in plan.numbers(tally):
            rng = plan.rng(unit)
            try:
                connection = RawConnection(rng.choice(addresses))
            except OSError:
                tally.refused += 1
            else:
                connection.play(make(rng))
                connections.append(connection)
            if len(connections) > held_open:
                connections.popleft().close()
        plan.hold()


def _close_all(connections: Iterable[RawConnection]) -> None:
    for connection in connections:
        connection.close()


def subscriptions(target: Target, plan: Plan, tally: Tally) -> None:
    """Thousands of subscriptions with arbitrary prefixes, which end together."""
    data, _ = _addresses(target.endpoint)
    with contextlib.ExitStack() as opened:
        for first in plan.numbers(tally, MESSAGES_EACH):
            units = range(first, min(first + MESSAGES_EACH, plan.units))
            messages = [fuzz_frames.subscription(plan.rng(unit)) for unit in units]
            try:
                connection = RawConnection(data)
            except OSError:
                tally.refused += 1
            else:
                opened.callback(connection.close)
                connection.play(fuzz_bytes.subscriber(plan.rng(first), messages))
            if first // MESSAGES_EACH % HELD_OPEN == HELD_OPEN - 1:
                opened.close()
        plan.hold()


def unread(target: Target, plan: Plan, tally: Tally) -> None:
    """Requests with replies of half a megabyte, which are not read."""
    with zmq.Context() as context, contextlib.ExitStack() as opened:
        name = _keep_large_result(context, target)
        for first in plan.numbers(tally, UNREAD_EACH):
            sock = opened.enter_context(context.socket(zmq.DEALER))
            sock.linger, sock.rcvhwm, sock.sndhwm = 0, 1, 0
            sock.connect(target.endpoint.control_address)
            for unit in range(first, min(first + UNREAD_EACH, plan.units)):
                request_id = "x" * plan.rng(unit).randrange(200)
                request = {"type": "status", "execution_id": name, "request_id": request_id}
                sock.send_multipart([b"", json.dumps(request).encode()])
        plan.hold()


def _keep_large_result(context: zmq.Context[zmq.Socket[bytes]], target: Target) -> str:
    """Run a task with a result of half a megabyte; return its execution id."""
    task = {"do": "letters", "count": UNREAD_BYTES}
    request = {"type": "execute", "client_id": "fuzz", "task": task, "wait_seconds": 60}
    with context.socket(zmq.REQ) as sock:
        sock.linger, sock.rcvtimeo = 0, int(1000 * _TIMEOUT_SECONDS)
        sock.connect(target.endpoint.control_address)
        sock.send(json.dumps(request).encode())
        return str(json.loads(sock.recv())["execution_id"])


def _addresses(endpoint: Endpoint) -> tuple[str | tuple[str, int], str | tuple[str, int]]:
    """Return the addresses of the data and control sockets for plain sockets."""
    if endpoint.transport_mode is TransportMode.IPC:
        return str(endpoint.data_path), str(endpoint.control_path)
    return (endpoint.host, endpoint.port), (endpoint.host, endpoint.control_port)


ATTACKS: dict[str, tuple[Attack, float]] = {
    "requests": (requests, 0.6),
    "envelopes": (envelopes, 0.15),
    "greetings": (greetings, 0.1),
    "subscriptions": (subscriptions, 0.1),
    "unread": (unread, 0.02),
    "idle": (idle, 0.02),
    "giants": (giants, 0.008),
    "large": (large, 0.002),
}
"""The attacks by name, each with its share of all units."""

FILES = "files"
"""The name of the attack on a server that may open 256 files."""


def has_unix_sockets() -> bool:
    return hasattr(socket, "AF_UNIX") and zmq.has("ipc")
