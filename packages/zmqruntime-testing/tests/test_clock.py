"""`MovableClock`."""

from __future__ import annotations

import time

import pytest

from zmqruntime.testing import MovableClock


def test_frozen_clock_moves_only_on_advance() -> None:
    clock = MovableClock()
    assert clock.time() == clock.time()
    before = clock.time(), clock.monotonic()
    clock.advance(90)
    assert (clock.time(), clock.monotonic()) == (before[0] + 90, before[1] + 90)


def test_sleep_advances_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seconds: float) -> None:
        raise AssertionError(f"{seconds} s were slept")

    monkeypatch.setattr(time, "sleep", refuse)
    clock = MovableClock()
    clock.sleep(3600)
    assert clock.monotonic() == 3600


def test_running_clock_has_the_advanced_offset() -> None:
    clock = MovableClock(frozen=False)
    clock.advance(100)
    before, shown, after = time.time(), clock.time(), time.time()
    assert before - 1 <= shown - 100 <= after + 1
    assert clock.monotonic() <= clock.monotonic()


def test_due_callbacks_run_in_order() -> None:
    clock, called = MovableClock(), []
    for when in (3, 1, 2, 10):
        clock.call_at(when, lambda when=when: called.append(when))  # type: ignore[misc]
    clock.advance(5)
    assert called == [1, 2, 3]


def test_callback_can_schedule_another() -> None:
    clock, called = MovableClock(), []
    clock.call_at(1, lambda: clock.call_at(2, lambda: called.append(clock.monotonic())))
    clock.advance(5)
    assert called == [5]


def test_negative_advance_is_rejected() -> None:
    with pytest.raises(ValueError, match="cannot advance the clock by"):
        MovableClock().advance(-1)
