"""What a proxy does to which message: decided here, with no socket."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zmqruntime.transport import check_number

__all__ = [
    "Delivery",
    "Fault",
    "FaultPlan",
    "Lane",
    "Misbehaviour",
    "Outcome",
    "Rule",
    "split_events",
]

# No byte of UTF-8: what has it in the middle can be taken for nothing else.
_GARBAGE = b"\xff"


class Lane(StrEnum):
    """One way of one channel."""

    REQUESTS = "requests"
    REPLIES = "replies"
    EVENTS = "events"
    SUBSCRIPTIONS = "subscriptions"


class Fault(StrEnum):
    """What can happen to a message."""

    DROP = "drop"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    """It comes after the next one of its lane; if there is none, never."""
    TRUNCATE = "truncate"
    """The second half of its last frame is missing."""
    GARBLE = "garble"
    """A byte in the middle of its last frame is another, so that it is no UTF-8."""
    CUT = "cut"
    """It is lost, and with it every connection of both channels."""


@dataclass(slots=True, eq=False)
class Rule:
    """One fault for one message: the ``nth`` on a lane, from now on, that has these fields.

    A message meets one rule: the oldest takes it, and another that it was for takes the next.
    """

    fault: Fault
    lane: Lane
    nth: int = 1
    fields: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    """How long a delayed message waits; how long a cut lasts, None: until `restore`."""
    seen: int = 0
    """How many messages of its kind have come by."""
    fired: bool = False
    """Whether it was done to its message."""

    def __post_init__(self) -> None:
        check_number("nth", self.nth, least=1, whole=True)
        check_number("seconds", self.seconds, least=0, optional=True)

    def is_due(self, lane: Lane, content: Mapping[str, Any]) -> bool:
        """Count a message; return whether it is the one, or comes after one that was taken."""
        if self.fired or lane is not self.lane:
            return False
        if any(content.get(name, _MISSING) != value for name, value in self.fields.items()):
            return False
        self.seen += 1
        return self.seen >= self.nth

    def __str__(self) -> str:
        kind = "".join(f", {name}={value!r}" for name, value in self.fields.items())
        return f"{self.fault} ({self.lane}, nth={self.nth}{kind})"


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """Faults by chance: the same ones for the same seed and the same messages of a lane."""

    seed: int
    rate: float
    faults: Sequence[Fault]
    lanes: Sequence[Lane]
    max_delay: float

    def __post_init__(self) -> None:
        check_number("rate", self.rate, least=0, most=1)
        check_number("max_delay", self.max_delay, least=0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to pass on, now or ``after`` some seconds."""

    frames: tuple[bytes, ...]
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one message."""

    deliveries: tuple[Delivery, ...] = ()
    cut: Rule | None = None


class FaultPlan:
    """Rules, chance, and what a reordered lane holds back. One thread at a time."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._chance: Misbehaviour | None = None
        self._dice: dict[Lane, random.Random] = {}
        self._held: dict[Lane, list[Delivery]] = {lane: [] for lane in Lane}
        self._passed: dict[Lane, Counter[str]] = {lane: Counter() for lane in Lane}

    def misbehave(self, chance: Misbehaviour | None) -> None:
        """Begin with faults by chance, or end with them."""
        self._chance = chance
        if chance is not None:
            # One for each lane: how two of them interleave is no part of it.
            self._dice = {lane: random.Random(f"{chance.seed}/{lane}") for lane in Lane}

    def take(self, lane: Lane, frames: Sequence[bytes]) -> Outcome:
        """Return what becomes of a message."""
        content = _read(lane, frames[-1])
        self._passed[lane][str(content.get("type", "something unreadable"))] += 1
        due = [rule for rule in self.rules if rule.is_due(lane, content)]
        if due:  # Every rule counts a message, and the oldest takes it: the others wait.
            due[0].fired = True
            return self._apply(lane, tuple(frames), due[0].fault, due[0])
        chance = self._chance
        if chance is not None and lane in chance.lanes:
            dice = self._dice[lane]
            if dice.random() < chance.rate:
                fault, seconds = dice.choice(chance.faults), dice.uniform(0.0, chance.max_delay)
                by_chance = Rule(fault, lane, seconds=seconds)
                return self._apply(lane, tuple(frames), fault, by_chance)
        return self._pass(lane, Delivery(tuple(frames)))

    def forget_held(self) -> None:
        """Lose what is held back: its connection is gone."""
        for held in self._held.values():
            held.clear()

    def unfired(self) -> list[str]:
        """Say of each rule whose message never came what came instead."""
        return [
            f"{rule} never fired: {rule.seen} such messages came by{self._taken(rule)}, and of "
            f"all {rule.lane} {self._told(rule.lane)}: take the rule out, or find out why the "
            "message did not come"
            for rule in self.rules
            if not rule.fired
        ]

    def _apply(self, lane: Lane, frames: tuple[bytes, ...], fault: Fault, rule: Rule) -> Outcome:
        now = Delivery(frames)
        *head, body = frames
        match fault:
            case Fault.DROP:
                return Outcome()
            case Fault.DELAY:
                return self._pass(lane, Delivery(frames, rule.seconds or 0.0))
            case Fault.DUPLICATE:
                return self._pass(lane, now, now)
            case Fault.REORDER:
                self._held[lane].append(now)
                return Outcome()
            case Fault.TRUNCATE:
                return self._pass(lane, Delivery((*head, body[: len(body) // 2])))
            case Fault.GARBLE:
                middle = len(body) // 2
                garbled = body[:middle] + _GARBAGE + body[middle + 1 :]
                return self._pass(lane, Delivery((*head, garbled)))
            case Fault.CUT:
                return Outcome(cut=rule)

    def _pass(self, lane: Lane, *deliveries: Delivery) -> Outcome:
        held, self._held[lane] = self._held[lane], []
        return Outcome((*deliveries, *held))

    def _taken(self, rule: Rule) -> str:
        return "" if rule.seen < rule.nth else ", which an older rule took"

    def _told(self, lane: Lane) -> str:
        passed = ", ".join(f"{count} {kind}" for kind, count in self._passed[lane].items())
        return passed or "none"


def split_events(lane: Lane, frames: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Return a message as one for each event that it brings, since a fault is for one of them."""
    *head, body = frames
    if lane is not Lane.EVENTS or not body.startswith(b"["):
        return [frames]
    try:
        events = json.loads(body)
    except (ValueError, RecursionError):
        return [frames]
    return [(*head, json.dumps(event).encode()) for event in events]


_MISSING = object()


def _read(lane: Lane, body: bytes) -> Mapping[str, Any]:
    """Return the fields of a message, as far as it has any."""
    if lane is Lane.SUBSCRIPTIONS:
        kinds = {1: "subscribe", 0: "unsubscribe"}
        return {"type": kinds.get(body[0], "other")} if body else {}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # No JSON, or one that is too deep to be read.
        return {}
    return content if isinstance(content, dict) else {}
