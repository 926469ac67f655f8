"""A clock that a test moves."""

from __future__ import annotations

import time

import pytest

from zmqruntime.testing import MovableClock


def test_it_stands_still_until_it_is_moved() -> None:
    clock = MovableClock()
    assert clock.time() == clock.time()
    before = clock.time(), clock.monotonic()
    clock.advance(90)
    assert (clock.time(), clock.monotonic()) == (before[0] + 90, before[1] + 90)


def test_to_sleep_is_to_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seconds: float) -> None:
        raise AssertionError(f"{seconds} s were slept")

    monkeypatch.setattr(time, "sleep", refuse)
    clock = MovableClock()
    clock.sleep(3600)
    assert clock.monotonic() == 3600


def test_a_running_one_is_ahead_by_what_it_was_moved() -> None:
    clock = MovableClock(frozen=False)
    clock.advance(100)
    before, shown, after = time.time(), clock.time(), time.time()
    assert before - 1 <= shown - 100 <= after + 1
    assert clock.monotonic() <= clock.monotonic()


def test_what_is_due_is_called_in_order() -> None:
    clock, called = MovableClock(), []
    for when in (3, 1, 2, 10):
        clock.call_at(when, lambda when=when: called.append(when))  # type: ignore[misc]
    clock.advance(5)
    assert called == [1, 2, 3]


def test_what_is_called_may_ask_for_more() -> None:
    clock, called = MovableClock(), []
    clock.call_at(1, lambda: clock.call_at(2, lambda: called.append(clock.monotonic())))
    clock.advance(5)
    assert called == [5]


def test_it_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="cannot advance the clock by"):
        MovableClock().advance(-1)
