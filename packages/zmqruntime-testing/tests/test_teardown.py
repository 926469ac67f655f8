"""`Teardown`: one time budget for all releases."""

from __future__ import annotations

from typing import cast

import pytest

from zmqruntime.testing import LeftRunning, MovableClock
from zmqruntime.testing.teardown import Release, Teardown


class Stuck:
    """A release that never returns; records the time of each wait."""

    def __init__(self, clock: MovableClock) -> None:
        self.waited: list[float] = []
        self._clock = clock

    def has_returned(self, seconds: float) -> bool:
        self.waited.append(seconds)
        self._clock.advance(seconds)
        return False

    def check(self) -> None:
        pass


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


def test_stuck_releases_share_one_time_budget(clock: MovableClock) -> None:
    teardown = Teardown(2.0, clock.monotonic)
    things = [Stuck(clock) for _ in range(6)]
    for stage in (things[:3], things[3:]):
        assert teardown.await_all(0.5, [cast(Release, thing) for thing in stage]) == [False] * 3
    # The second stage starts when the budget is used up, and gets the minimum.
    assert clock.monotonic() == pytest.approx(1.0 + 0.1)
    assert [len(thing.waited) for thing in things] == [1] * 6


def test_late_release_may_use_the_whole_time_budget(clock: MovableClock) -> None:
    teardown = Teardown(2.0, clock.monotonic)
    assert teardown.left(0.5) == 1.0
    clock.advance(1.5)
    late = Stuck(clock)
    teardown.expect(cast(Release, late), "a client did not disconnect")
    with pytest.raises(LeftRunning, match="a client did not disconnect"):
        teardown.close()
    assert late.waited == [0.5]
