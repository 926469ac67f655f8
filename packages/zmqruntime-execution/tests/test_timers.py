"""Deadlines by key, beside the plainest thing that does the same: a dict."""

from __future__ import annotations

import time

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
    timers: Timers[int] = Timers()
    timers.set(-1, 1e9)

    def seconds_for(steps: range) -> float:
        start = time.process_time()
        for n in steps:
            timers.set(n, 1e6)
            timers.cancel(n)
            assert timers.next == 1e9
        return time.process_time() - start

    few = seconds_for(range(20_000))
    # 20 times as many would take 400 times as long if they were all kept and walked through.
    assert seconds_for(range(400_000)) < 100 * few
