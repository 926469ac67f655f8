"""Deadlines: remaining time, expiry, and the earlier of two."""

from __future__ import annotations

import math

import pytest

from zmqruntime.transport.lowlevel import Deadline


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_remaining_time_decreases_to_zero() -> None:
    clock = Clock()
    deadline = Deadline.after(5, clock)
    assert (deadline.remaining, deadline.expired) == (5.0, False)
    clock.now = 104.5
    assert (deadline.remaining, deadline.expired) == (0.5, False)
    clock.now = 105.0
    assert (deadline.remaining, deadline.expired) == (0.0, True)
    clock.now = 200.0
    assert (deadline.remaining, deadline.expired) == (0.0, True)


@pytest.mark.parametrize("seconds", [0, -1, -math.inf])
def test_deadline_of_zero_seconds_has_expired(seconds: float) -> None:
    assert Deadline.after(seconds, Clock()).expired


def test_nan_seconds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^a time limit is nan: it has to be a number of sec"):
        Deadline.after(math.nan, Clock())


def test_deadline_of_none_never_expires() -> None:
    deadline = Deadline.after(None, Clock())
    assert deadline.remaining == float("inf")
    assert not deadline.expired


def test_step_gets_the_earlier_of_two_deadlines() -> None:
    clock = Clock()
    deadline = Deadline.after(5, clock)
    assert deadline.within(2).remaining == 2
    assert deadline.within(9).remaining == 5
    clock.now = 104.0
    assert deadline.within(2).remaining == 1


def test_deadline_uses_the_monotonic_clock() -> None:
    assert 0 < Deadline.after(60).remaining <= 60
