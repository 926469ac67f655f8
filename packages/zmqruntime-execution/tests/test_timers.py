"""Timers, compared with a dict as their model, and the size of their heap."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqruntime.execution.core.timers import Timers

keys = st.sampled_from([*"abcd"])
times = st.integers(0, 20).map(float)


class TimersAndADict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.timers: Timers[str] = Timers()
        self.model: dict[str, float] = {}

    @rule(key=keys, when=times)
    def set(self, key: str, when: float) -> None:
        self.timers.set(key, when)
        self.model[key] = when

    @rule(key=keys)
    def cancel(self, key: str) -> None:
        self.timers.cancel(key)
        self.model.pop(key, None)

    @rule(now=times, limit=st.integers(1, 5))
    def take_due(self, now: float, limit: int) -> None:
        due = self.timers.take_due(now, limit)
        all_due = sorted(when for when in self.model.values() if when <= now)
        assert [self.model[key] for key in due] == all_due[:limit]
        for key in due:
            del self.model[key]

    @invariant()
    def next_is_the_earliest(self) -> None:
        assert self.timers.next == min(self.model.values(), default=None)


TestTimers = TimersAndADict.TestCase
TestTimers.settings = settings(parent=settings.get_profile("unhurried"), max_examples=200)


def test_equal_deadlines_are_due_in_the_order_of_set() -> None:
    timers: Timers[str] = Timers()
    for key in "bca":
        timers.set(key, 1.0)
    assert timers.take_due(1.0, 3) == ["b", "c", "a"]


def test_keys_of_timers_need_no_order() -> None:
    timers: Timers[object] = Timers()
    keys = [object(), object(), ("x", None)]
    for key in keys:
        timers.set(key, 1.0)
    assert timers.take_due(1.0, 9) == keys


def test_timers_contain_the_keys_that_have_a_deadline() -> None:
    timers: Timers[str] = Timers()
    for key in "abc":
        timers.set(key, 1.0)
    timers.cancel("b")
    assert timers.take_due(1.0, 1) == ["a"]
    assert [key for key in "abcd" if key in timers] == ["c"]


@pytest.mark.parametrize("pending", [30, 1000])
def test_cancelled_timers_are_removed_from_the_heap(pending: int) -> None:
    # Each long poll sets a timer and usually cancels it long before it is due.
    hashes = 0

    class Key(int):
        def __hash__(self) -> int:
            nonlocal hashes
            hashes += 1
            return int(self)

    timers: Timers[int] = Timers()
    for n in range(pending):
        timers.set(Key(n), 1.0 + n)
    hashes = 0
    for n in range(pending, pending + 20_000):
        timers.set(Key(n), 1e6)
        timers.cancel(Key(n))
        assert timers.next == 1.0
        assert len(timers._heap) <= 2 * (pending + 1) + 64
    assert hashes < 20 * 20_000  # The heap is not scanned each time.


def test_removal_of_replaced_deadlines_keeps_the_others() -> None:
    timers: Timers[str] = Timers()
    for key, when in [("late", 1e6), ("early", 0.5), ("middle", 30.0)]:
        timers.set(key, when)
    for n in range(1000):
        timers.set("moved", 40.0 + n)
    assert timers.take_due(1e9, 9) == ["early", "middle", "moved", "late"]
