"""Deadlines by key, beside the plainest thing that does the same: a dict."""

from __future__ import annotations

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


def test_equal_deadlines_come_in_the_order_in_which_they_were_set() -> None:
    timers: Timers[str] = Timers()
    for key in "bca":
        timers.set(key, 1.0)
    assert timers.take_due(1.0, 3) == ["b", "c", "a"]


def test_keys_need_not_be_comparable() -> None:
    timers: Timers[object] = Timers()
    some = [object(), object(), ("x", None)]
    for key in some:
        timers.set(key, 1.0)
    assert timers.take_due(1.0, 9) == some


def test_many_that_were_moved_or_cancelled_cost_nothing_for_long() -> None:
    # Each held status request sets one and, as a rule, cancels it long before it is due.
    looked_at = 0

    class Key(int):
        def __hash__(self) -> int:
            nonlocal looked_at
            looked_at += 1
            return int(self)

    timers: Timers[int] = Timers()
    for n in range(1000):
        timers.set(Key(n), 1.0 + n)
    looked_at = 0
    for n in range(1000, 21_000):
        timers.set(Key(n), 1e6)
        timers.cancel(Key(n))
        assert timers.next == 1.0
    # If all were kept, they would be in memory; if all were walked through each time, a thousand
    # looks for each.
    assert len(timers._heap) < 5 * 1000
    assert looked_at < 20 * 20_000
