"""Backoff: the delay doubles after each failure, up to the cap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.transport.backoff import Backoff

seconds = st.floats(0, 3600)


def test_delay_doubles_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.compute_delay(failures) for failures in (1, 2, 3, 4, 5)] == [
        0.5,
        1.0,
        2.0,
        3.0,
        3.0,
    ]


@given(first=seconds, cap=seconds, failures=st.integers(1, 10**6))
def test_delay_never_shrinks_and_never_exceeds_the_cap(
    first: float, cap: float, failures: int
) -> None:
    backoff = Backoff(first, cap)
    assert backoff.compute_delay(failures) <= backoff.compute_delay(failures + 1) <= cap


@pytest.mark.parametrize(("first", "delay"), [(0.0, 0.0), (0.5, 60.0)])
def test_delay_after_many_failures_does_not_overflow(first: float, delay: float) -> None:
    assert Backoff(first, 60.0).compute_delay(10**9) == delay
