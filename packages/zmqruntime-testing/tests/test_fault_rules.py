"""Rules and seeds that select the fault of each message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zmqruntime.testing.faults.rules import (
    Delivery,
    Fault,
    FaultPlan,
    Lane,
    Misbehaviour,
    Rule,
    split_events,
)

REPLIES, EVENTS = Lane.REPLIES, Lane.EVENTS


def message(n: int = 0, **fields: Any) -> list[bytes]:
    return [b"envelope", b"", json.dumps({"type": "pong", "n": n, **fields}).encode()]


def take(plan: FaultPlan, *messages: list[bytes], lane: Lane = REPLIES) -> list[list[int]]:
    """Return, for each message, the numbers of the messages that are then delivered."""
    return [
        [json.loads(delivery.frames[-1])["n"] for delivery in plan.take(lane, m).deliveries]
        for m in messages
    ]


def plan(*rules: Rule) -> FaultPlan:
    made = FaultPlan()
    made.rules += rules
    return made


def test_messages_without_a_rule_are_unchanged() -> None:
    assert FaultPlan().take(REPLIES, message()).deliveries == (Delivery(tuple(message())),)


@pytest.mark.parametrize(
    ("fault", "passed"),
    [
        (Fault.DROP, [[1], [], [3]]),
        (Fault.DUPLICATE, [[1], [2, 2], [3]]),
        (Fault.REORDER, [[1], [], [3, 2]]),
        (Fault.CUT, [[1], [], [3]]),
    ],
)
def test_fault_applies_to_the_nth_message(fault: Fault, passed: list[list[int]]) -> None:
    made = plan(Rule(fault, REPLIES, nth=2))
    assert take(made, message(1), message(2), message(3)) == passed


def test_rule_counts_matching_messages_only() -> None:
    made = plan(Rule(Fault.DROP, REPLIES, nth=2, fields={"type": "accepted", "m": 1}))
    accepted = {"type": "accepted", "m": 1}
    assert take(made, message(1, **accepted), lane=EVENTS) == [[1]]
    assert take(
        made,
        message(1, **accepted),
        message(2, type="accepted"),
        message(3, m=1),
        message(4, **accepted),
        message(5, **accepted),
    ) == [[1], [2], [3], [], [5]]


def test_rule_applies_to_one_message() -> None:
    made = plan(Rule(Fault.DROP, REPLIES), Rule(Fault.DROP, REPLIES, nth=2))
    assert take(made, message(1), message(2), message(3)) == [[], [], [3]]


def test_one_rule_applies_to_a_message() -> None:
    drop, spoil = Rule(Fault.DROP, REPLIES, fields={"n": 1}), Rule(Fault.GARBLE, REPLIES)
    made = plan(drop, spoil)
    assert take(made, message(1)) == [[]]
    assert (drop.fired, spoil.fired) == (True, False)
    (complaint,) = made.unfired()
    assert complaint.startswith("garble (replies, nth=1) never fired: 1 messages matched")
    assert "an older rule applied to them" in complaint
    made.take(REPLIES, message(2))
    assert made.unfired() == []


def test_delay_affects_one_message() -> None:
    made = plan(Rule(Fault.DELAY, REPLIES, seconds=1.5))
    first, second = (made.take(REPLIES, message(n)).deliveries[0] for n in (1, 2))
    assert (first.after, second.after) == (1.5, 0)


def test_envelope_is_not_corrupted() -> None:
    for fault in (Fault.TRUNCATE, Fault.GARBLE):
        (delivery,) = plan(Rule(fault, REPLIES)).take(REPLIES, message()).deliveries
        *envelope, body = delivery.frames
        assert envelope == [b"envelope", b""]
        with pytest.raises(ValueError, match=r"."):
            json.loads(body)


def test_held_message_is_dropped_with_the_connection() -> None:
    made = plan(Rule(Fault.REORDER, REPLIES))
    take(made, message(1))
    made.forget_held()
    assert take(made, message(2)) == [[2]]


def test_message_without_json_matches_no_fields() -> None:
    made = plan(Rule(Fault.DROP, REPLIES, fields={"type": "pong"}))
    for body in (b"", b"\xff", b"[1]", b"[" * 100_000):
        assert made.take(REPLIES, [body]).deliveries == (Delivery((body,)),)


def test_subscriptions_have_types() -> None:
    made = plan(Rule(Fault.DROP, Lane.SUBSCRIPTIONS, fields={"type": "subscribe"}))
    assert made.take(Lane.SUBSCRIPTIONS, [b"\x00lab/"]).deliveries
    assert not made.take(Lane.SUBSCRIPTIONS, [b"\x01lab/"]).deliveries


@pytest.mark.parametrize("nth", [0, -1])
def test_nth_is_at_least_one(nth: int) -> None:
    with pytest.raises(ValueError, match=f"nth is {nth}: it has to be at least 1"):
        Rule(Fault.DROP, REPLIES, nth)


def test_unfired_rule_lists_the_passed_messages() -> None:
    made = plan(Rule(Fault.DROP, REPLIES, 2, {"type": "accepted"}), Rule(Fault.DROP, REPLIES))
    take(made, message(1), message(2), message(3, type="accepted"))
    assert made.unfired() == [
        "drop (replies, nth=2, type='accepted') never fired: 1 messages matched; messages on "
        "replies: 2 pong, 1 accepted. Remove the rule, or find out why the message was not sent"
    ]


def by_chance(seed: int, lane: Lane = REPLIES, others: int = 0) -> list[list[int]]:
    made = FaultPlan()
    faults = [Fault.DROP, Fault.DUPLICATE, Fault.REORDER]
    made.misbehave(Misbehaviour(seed, 0.5, faults, [REPLIES, EVENTS], 0.1))
    take(made, *[message()] * others, lane=Lane.EVENTS if lane is REPLIES else REPLIES)
    return take(made, *(message(n) for n in range(100)), lane=lane)


def test_seed_determines_the_faults_of_a_lane() -> None:
    assert by_chance(7) == by_chance(7, others=13)
    assert by_chance(7) != by_chance(8)
    assert by_chance(7) != by_chance(7, lane=EVENTS)


def test_random_faults_affect_selected_lanes_only() -> None:
    made = FaultPlan()
    made.misbehave(Misbehaviour(1, 1.0, [Fault.DROP], [EVENTS], 0.1))
    assert take(made, message(1)) == [[1]]
    assert take(made, message(1), lane=EVENTS) == [[]]
    made.misbehave(None)
    assert take(made, message(2), lane=EVENTS) == [[2]]


def test_array_of_events_is_split_into_messages() -> None:
    events = [{"sequence": 1, "message": "größer", "percent": 0.1}, {"sequence": 2}]
    batch = [b"lab/a", json.dumps(events).encode()]
    apart = split_events(EVENTS, batch)
    assert [topic for topic, _ in apart] == [b"lab/a"] * 2
    assert [json.loads(body) for _, body in apart] == events


@pytest.mark.parametrize("body", [b'{"sequence": 1}', b"", b"[1", b"[" * 100_000])
def test_message_without_an_array_is_not_split(body: bytes) -> None:
    assert split_events(EVENTS, [b"lab/a", body]) == [[b"lab/a", body]]
    assert split_events(REPLIES, [b"", b"[1, 2]"]) == [[b"", b"[1, 2]"]]
