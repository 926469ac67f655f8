"""Rules that select a fault for each message; free of sockets and threads."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zmqruntime.transport.lowlevel import check_number

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

# 0xFF occurs nowhere in UTF-8, so a message that contains it is never valid.
_GARBAGE = b"\xff"


class Lane(StrEnum):
    """One direction of one channel."""

    REQUESTS = "requests"
    REPLIES = "replies"
    EVENTS = "events"
    SUBSCRIPTIONS = "subscriptions"


class Fault(StrEnum):
    """A fault of one message."""

    DROP = "drop"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    """It is sent after the next message of its lane; without one, never."""
    TRUNCATE = "truncate"
    """The second half of its last frame is cut off."""
    GARBLE = "garble"
    """A byte in the middle of its last frame is replaced, so that it is not valid UTF-8."""
    CUT = "cut"
    """It is dropped, and every connection of both channels is closed."""


@dataclass(slots=True, eq=False)
class Rule:
    """One fault for one message: the ``nth`` on a lane that has these fields.

    If several rules match a message, the oldest applies, and the others wait for the next match.
    """

    fault: Fault
    lane: Lane
    nth: int = 1
    fields: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    """Delay of the message, or duration of a cut; None for a cut until `restore`."""
    seen: int = 0
    """Number of matching messages so far."""
    fired: bool = False
    """Whether the rule has been applied."""

    def __post_init__(self) -> None:
        check_number("nth", self.nth, ge=1, whole=True)
        check_number("seconds", self.seconds, ge=0, optional=True)

    def is_due(self, lane: Lane, content: Mapping[str, Any]) -> bool:
        """Count a message; return whether it is the ``nth`` match or a later one."""
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
    """Random faults: reproducible by seed for the same messages of a lane."""

    seed: int
    rate: float
    faults: Sequence[Fault]
    lanes: Sequence[Lane]
    max_delay: float

    def __post_init__(self) -> None:
        check_number("rate", self.rate, ge=0, le=1)
        check_number("max_delay", self.max_delay, ge=0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to forward, now or ``after`` some seconds."""

    frames: tuple[bytes, ...]
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The deliveries that replace one message, and the rule of a cut."""

    deliveries: tuple[Delivery, ...] = ()
    cut: Rule | None = None


class FaultPlan:
    """Rules, random faults, and the messages held back for reordering. Not thread-safe."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._misbehaviour: Misbehaviour | None = None
        self._random: dict[Lane, random.Random] = {}
        self._held: dict[Lane, list[Delivery]] = {lane: [] for lane in Lane}
        self._passed: dict[Lane, Counter[str]] = {lane: Counter() for lane in Lane}

    def misbehave(self, misbehaviour: Misbehaviour | None) -> None:
        """Start random faults, or end them with None."""
        self._misbehaviour = misbehaviour
        if misbehaviour is not None:
            # One generator per lane: the interleaving of lanes must not change the faults.
            self._random = {lane: random.Random(f"{misbehaviour.seed}/{lane}") for lane in Lane}

    def take(self, lane: Lane, frames: Sequence[bytes]) -> Outcome:
        """Return the outcome for a message."""
        content = _parse_fields(lane, frames[-1])
        self._passed[lane][str(content.get("type", "unreadable"))] += 1
        due = [rule for rule in self.rules if rule.is_due(lane, content)]
        if due:  # Every rule counts the message; only the oldest is applied.
            due[0].fired = True
            return self._inject(lane, tuple(frames), due[0].fault, due[0])
        misbehaviour = self._misbehaviour
        if misbehaviour is not None and lane in misbehaviour.lanes:
            generator = self._random[lane]
            if generator.random() < misbehaviour.rate:
                fault, seconds = (
                    generator.choice(misbehaviour.faults),
                    generator.uniform(0.0, misbehaviour.max_delay),
                )
                rule = Rule(fault, lane, seconds=seconds)
                return self._inject(lane, tuple(frames), fault, rule)
        return self._deliver(lane, Delivery(tuple(frames)))

    def forget_held(self) -> None:
        """Drop the messages held back for reordering: their connection is closed."""
        for held in self._held.values():
            held.clear()

    def unfired(self) -> list[str]:
        """Describe each rule that has not fired, with the messages that passed."""
        return [
            f"{rule} never fired: {rule.seen} messages matched{self._note_taken(rule)}; messages "
            f"on {rule.lane}: {self._list_passed(rule.lane)}. Remove the rule, or find out why the "
            "message was not sent"
            for rule in self.rules
            if not rule.fired
        ]

    def _inject(self, lane: Lane, frames: tuple[bytes, ...], fault: Fault, rule: Rule) -> Outcome:
        now = Delivery(frames)
        *head, body = frames
        match fault:
            case Fault.DROP:
                return Outcome()
            case Fault.DELAY:
                return self._deliver(lane, Delivery(frames, rule.seconds or 0.0))
            case Fault.DUPLICATE:
                return self._deliver(lane, now, now)
            case Fault.REORDER:
                self._held[lane].append(now)
                return Outcome()
            case Fault.TRUNCATE:
                return self._deliver(lane, Delivery((*head, body[: len(body) // 2])))
            case Fault.GARBLE:
                middle = len(body) // 2
                garbled = body[:middle] + _GARBAGE + body[middle + 1 :]
                return self._deliver(lane, Delivery((*head, garbled)))
            case Fault.CUT:
                return Outcome(cut=rule)

    def _deliver(self, lane: Lane, *deliveries: Delivery) -> Outcome:
        held, self._held[lane] = self._held[lane], []
        return Outcome((*deliveries, *held))

    def _note_taken(self, rule: Rule) -> str:
        return "" if rule.seen < rule.nth else ", but an older rule applied to them"

    def _list_passed(self, lane: Lane) -> str:
        passed = ", ".join(f"{count} {kind}" for kind, count in self._passed[lane].items())
        return passed or "none"


def split_events(lane: Lane, frames: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Return an array of events as one message per event, since a fault applies to one event."""
    *head, body = frames
    if lane is not Lane.EVENTS or not body.startswith(b"["):
        return [frames]
    try:
        events = json.loads(body)
    except (ValueError, RecursionError):
        return [frames]
    return [(*head, json.dumps(event).encode()) for event in events]


_MISSING = object()


def _parse_fields(lane: Lane, body: bytes) -> Mapping[str, Any]:
    """Return the fields of a message; {} if it is not a JSON object."""
    if lane is Lane.SUBSCRIPTIONS:
        kinds = {1: "subscribe", 0: "unsubscribe"}
        return {"type": kinds.get(body[0], "other")} if body else {}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # Not JSON, or nested too deeply.
        return {}
    return content if isinstance(content, dict) else {}
