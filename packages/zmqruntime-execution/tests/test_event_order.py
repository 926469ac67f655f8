"""`EventOrder`: replays of executions that are unfinished, and the log of lost events."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import cast

import pytest

from zmqruntime.execution.client.event_order import EventOrder
from zmqruntime.execution.client.replay import EventReplay
from zmqruntime.messages import SEQUENCE_GAP, KeptEventsReply, ProgressEvent


def progress(sequence: int, execution_id: str = "a") -> ProgressEvent:
    return ProgressEvent(execution_id=execution_id, sequence=sequence, timestamp=1.0)


class Kept:
    """Test double of a replay: the sequence numbers that a server keeps, by execution."""

    def __init__(self) -> None:
        self.numbers: dict[str, Sequence[int]] = {}

    def fetch(self, execution_id: str, after_sequence: int) -> list[ProgressEvent]:
        kept = self.numbers.get(execution_id, ())
        return [progress(n, execution_id) for n in kept if n > after_sequence]

    def fetch_many(
        self, executions: Sequence[tuple[str, int]]
    ) -> Iterator[tuple[str, KeptEventsReply | None]]:
        for name, last in executions:
            if (numbers := self.numbers.get(name)) is None:
                yield name, None
                continue
            yield (
                name,
                KeptEventsReply(
                    execution_id=name,
                    events=tuple(self.fetch(name, last)),
                    last_sequence=max(numbers),
                ),
            )


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def order(kept: Kept) -> EventOrder:
    return EventOrder(cast("EventReplay", kept))


def replay(order: EventOrder, *, after_reconnect: bool) -> list[tuple[str, int]]:
    replayed = order.replay_missed(after_reconnect=after_reconnect)
    return [(event.execution_id, event.sequence) for events in replayed for event in events]


def test_execution_that_the_server_does_not_know_is_forgotten(order: EventOrder) -> None:
    order.arrange([progress(1)])
    assert replay(order, after_reconnect=True) == []
    assert order.arrange([progress(7)]) == [progress(7)]
    assert order.missed == 0


def test_unknown_execution_does_not_end_a_replay(order: EventOrder, kept: Kept) -> None:
    order.arrange([progress(1, "a"), progress(1, "b")])
    kept.numbers = {"b": [1, 2]}
    assert replay(order, after_reconnect=True) == [("b", 2)]


def test_gap_of_an_execution_does_not_confirm_that_of_another(
    order: EventOrder, kept: Kept
) -> None:
    order.arrange([progress(1, "a"), progress(1, "b")])
    kept.numbers = {"a": [1, 5], "b": [1]}
    assert replay(order, after_reconnect=False) == []
    kept.numbers["b"] = [1, 5]
    assert replay(order, after_reconnect=False) == [("a", 5)]
    assert order.has_unconfirmed_gaps
    assert replay(order, after_reconnect=False) == [("b", 5)]
    assert not order.has_unconfirmed_gaps
    assert order.missed == 6


def test_events_that_arrive_during_a_replay_are_not_repeated(order: EventOrder, kept: Kept) -> None:
    order.arrange([progress(1, "a"), progress(1, "b")])
    kept.numbers = {"a": [1, 2], "b": [1, 2, 3]}
    replayed = order.replay_missed(after_reconnect=True)
    assert next(replayed) == [progress(2, "a")]
    assert order.arrange([progress(2, "b")]) == [progress(2, "b")]
    assert next(replayed) == [progress(3, "b")]


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (4, "2 events of execution a lost"),
        (
            2 + SEQUENCE_GAP,
            "events of execution a lost in a restart of its server: number unknown",
        ),
    ],
)
def test_log_of_lost_events_has_the_id_of_their_execution(
    order: EventOrder, sequence: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "zmqruntime.client"):
        order.arrange([progress(1), progress(sequence)])
    (record,) = caplog.records
    assert record.getMessage() == message
    assert vars(record)["execution_id"] == "a"
