"""A deadline is one moment, however many steps look at it."""

from __future__ import annotations

import math

import pytest

from zmqruntime.transport.lowlevel import Deadline


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_remains_gets_less_and_never_negative() -> None:
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
def test_no_time_at_all_has_passed_at_once(seconds: float) -> None:
    assert Deadline.after(seconds, Clock()).expired


def test_a_limit_that_is_no_number_is_refused_for_it_would_never_pass() -> None:
    with pytest.raises(ValueError, match=r"^a time limit is nan: it has to be a number of sec"):
        Deadline.after(math.nan, Clock())


def test_none_never_passes() -> None:
    deadline = Deadline.after(None, Clock())
    assert deadline.remaining == float("inf")
    assert not deadline.expired


def test_a_step_gets_its_own_time_but_no_more_than_is_left() -> None:
    clock = Clock()
    deadline = Deadline.after(5, clock)
    assert deadline.within(2).remaining == 2
    assert deadline.within(9).remaining == 5
    clock.now = 104.0
    assert deadline.within(2).remaining == 1


def test_the_clock_is_the_monotonic_one() -> None:
    assert 0 < Deadline.after(60).remaining <= 60
