"""The attacks: each sends so many units to a server, and counts what comes back.

A unit is a message or a connection. Unit ``n`` of an attack depends on the seed and ``n`` alone.
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
from endurance.fuzz_peers import Asker, Intruder

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
"""How many peers ask at once, and how many requests of each may be without a reply."""
LARGE_WINDOW = 4
HELD_OPEN = 64
IDLE = 400
MESSAGES_EACH = 500
UNREAD_EACH = 100
UNREAD_BYTES = 500_000
_TIMEOUT_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Target:
    """The server that is attacked, and by what it is found out that a stranger's task ran."""

    endpoint: Endpoint
    max_message_bytes: int
    planted: Path


@dataclass(slots=True)
class Tally:
    """What an attack sent, and what was wrong with the replies."""

    sent: int = 0
    replies: int = 0
    refused: int = 0
    """Connections that could not be made."""
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """One attack as it is to be: how much, how long, and from which random source."""

    seed: int
    name: str
    units: int
    show: Callable[[int], None]
    """Takes how many units were sent more."""
    seconds: float = 600.0
    """After so long it is a fault that the server has not taken all of it."""
    hold_seconds: float = 5.0
    """How long the last connections stay open, and the good client works beside them."""

    def hold(self) -> None:
        """Let what is open stay so for a while."""
        threading.Event().wait(self.hold_seconds)

    def dice(self, unit: int) -> random.Random:
        """Return what a unit is made from."""
        return random.Random(f"{self.seed} {self.name} {unit}")

    def numbers(self, tally: Tally, step: int = 1) -> Iterator[int]:
        """Yield the number of each unit, or of the first of so many, as long as all goes well."""
        deadline = time.monotonic() + self.seconds
        for unit in range(0, self.units, step):
            if tally.faults:
                return
            if time.monotonic() > deadline:
                tally.faults.append(
                    f"{self.name}: after {self.seconds:g} s, {unit:,} of {self.units:,} were taken"
                )
                return
            yield unit
            count = min(step, self.units - unit)
            tally.sent += count
            self.show(count)


Attack = Callable[[Target, Plan, Tally], None]


def requests(target: Target, plan: Plan, tally: Tally) -> None:
    """Mutated requests: each gets one reply that is well-formed."""

    def make(dice: random.Random) -> list[bytes]:
        return _address(dice, fuzz_frames.mutated_request(dice))

    _ask(target, plan, tally, make, WINDOW)


def envelopes(target: Target, plan: Plan, tally: Tally) -> None:
    """Too few frames around a request, or too many: each gets one reply to where it came from."""
    _ask(target, plan, tally, fuzz_frames.odd_envelope, WINDOW)


def large(target: Target, plan: Plan, tally: Tally) -> None:
    """Requests of up to 2 MB of what is short otherwise: each gets one reply."""

    def make(dice: random.Random) -> list[bytes]:
        return _address(dice, fuzz_frames.large_request(dice))

    _ask(target, plan, tally, make, LARGE_WINDOW)


def _address(dice: random.Random, body: bytes) -> list[bytes]:
    """Return a message as most are, or one with a hop of its own, which shows whose a reply is."""
    return [*([dice.randbytes(8)] if dice.randrange(2) else []), b"", body]


def _ask(
    target: Target,
    plan: Plan,
    tally: Tally,
    make: Callable[[random.Random], list[bytes]],
    window: int,
) -> None:
    with zmq.Context() as context, contextlib.ExitStack() as opened:
        peers = [
            opened.enter_context(Asker(context, target.endpoint.control_address, plan.name))
            for _ in range(PEERS)
        ]
        for unit in plan.numbers(tally):
            peer = peers[unit % PEERS]
            peer.ask(unit, make(plan.dice(unit)))
            peer.take(window, _TIMEOUT_SECONDS)
            tally.faults += peer.faults
        for peer in peers:
            if not tally.faults:
                peer.finish(_TIMEOUT_SECONDS)
                tally.faults += peer.faults
            tally.replies += peer.replies


def greetings(target: Target, plan: Plan, tally: Tally) -> None:
    """Connections that go wrong before the two have agreed; some stay open for a while."""
    _intrude(
        target,
        plan,
        tally,
        lambda dice: fuzz_bytes.greeting(dice, target.planted),
        HELD_OPEN,
    )


def giants(target: Target, plan: Plan, tally: Tally) -> None:
    """Messages that are too long, or never end; some connections stay open for a while."""
    _intrude(
        target,
        plan,
        tally,
        lambda dice: fuzz_bytes.giant(dice, target.max_message_bytes),
        HELD_OPEN // 4,
    )


def idle(target: Target, plan: Plan, tally: Tally) -> None:
    """Connections that do nothing, many at once."""

    def make(dice: random.Random) -> fuzz_bytes.Script:
        whole = fuzz_bytes.handshake(dice.choice([b"DEALER", b"SUB"]))
        return fuzz_bytes.Script((whole[: dice.choice([0, 1, 10, 11, 64, len(whole)])],))

    _intrude(target, plan, tally, make, IDLE)


def idle_one_by_one(target: Target, plan: Plan, tally: Tally) -> None:
    """Connections that do nothing, each opened when the one before was greeted or ended.

    What libzmq does over ipc at the file limit, when hundreds come within milliseconds, is its own:
    it ends the process (configuration.md#bounds).
    """

    def make(dice: random.Random) -> fuzz_bytes.Script:
        whole = fuzz_bytes.handshake(b"DEALER")
        return fuzz_bytes.Script((), agreement=whole)

    _intrude(target, plan, tally, make, 2 * IDLE)


def _intrude(
    target: Target,
    plan: Plan,
    tally: Tally,
    make: Callable[[random.Random], fuzz_bytes.Script],
    held_open: int,
) -> None:
    ports = _doors(target.endpoint)
    with contextlib.ExitStack() as last:
        there: deque[Intruder] = deque()
        last.callback(lambda: _close_all(there))
        for unit in plan.numbers(tally):
            dice = plan.dice(unit)
            try:
                intruder = Intruder(dice.choice(ports))
            except OSError:
                tally.refused += 1
            else:
                intruder.play(make(dice))
                there.append(intruder)
            if len(there) > held_open:
                there.popleft().close()
        plan.hold()


def _close_all(intruders: Iterable[Intruder]) -> None:
    for intruder in intruders:
        intruder.close()


def subscriptions(target: Target, plan: Plan, tally: Tally) -> None:
    """Subscriptions to anything, thousands at once, which all end together."""
    data, _ = _doors(target.endpoint)
    with contextlib.ExitStack() as opened:
        for first in plan.numbers(tally, MESSAGES_EACH):
            units = range(first, min(first + MESSAGES_EACH, plan.units))
            messages = [fuzz_frames.subscription(plan.dice(unit)) for unit in units]
            try:
                intruder = Intruder(data)
            except OSError:
                tally.refused += 1
            else:
                opened.callback(intruder.close)
                intruder.play(fuzz_bytes.subscriber(plan.dice(first), messages))
            if first // MESSAGES_EACH % HELD_OPEN == HELD_OPEN - 1:
                opened.close()
        plan.hold()


def unread(target: Target, plan: Plan, tally: Tally) -> None:
    """Requests of half a megabyte of replies each, which are not read."""
    with zmq.Context() as context, contextlib.ExitStack() as opened:
        name = _keep_large_result(context, target)
        for first in plan.numbers(tally, UNREAD_EACH):
            sock = opened.enter_context(context.socket(zmq.DEALER))
            sock.linger, sock.rcvhwm, sock.sndhwm = 0, 1, 0
            sock.connect(target.endpoint.control_address)
            for unit in range(first, min(first + UNREAD_EACH, plan.units)):
                request_id = "x" * plan.dice(unit).randrange(200)
                request = {"type": "status", "execution_id": name, "request_id": request_id}
                sock.send_multipart([b"", json.dumps(request).encode()])
        plan.hold()


def _keep_large_result(context: zmq.Context[zmq.Socket[bytes]], target: Target) -> str:
    """Have the server keep a result of half a megabyte; return its execution's name."""
    task = {"do": "letters", "count": UNREAD_BYTES}
    request = {"type": "execute", "client_id": "fuzz", "task": task, "wait_seconds": 60}
    with context.socket(zmq.REQ) as sock:
        sock.linger, sock.rcvtimeo = 0, int(1000 * _TIMEOUT_SECONDS)
        sock.connect(target.endpoint.control_address)
        sock.send(json.dumps(request).encode())
        return str(json.loads(sock.recv())["execution_id"])


def _doors(endpoint: Endpoint) -> tuple[str | tuple[str, int], str | tuple[str, int]]:
    """Return where plain sockets find the data port and the control port."""
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
"""By its name each attack, and its part of all units."""

FILES = "files"
"""The name of the attack on a server that may have no more than 256 files open."""


def has_unix_sockets() -> bool:
    return hasattr(socket, "AF_UNIX") and zmq.has("ipc")
