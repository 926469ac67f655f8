"""The client's side where it is under stress: late, interrupted, shared, or unlucky."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asking import SILENCE, record

from zmqruntime.execution import (
    ExecutionClient,
    ExecutionStatusPoller,
    ExecutionWaiter,
)
from zmqruntime.messages import (
    ExecutionRecord,
    ExecutionStatus,
)
from zmqruntime.transport import RequestTimeout

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


# -- the caller's deadline --------------------------------------------------------------------


def wait(ask: Callable[..., ExecutionRecord], timeout: float | None) -> None:
    ExecutionWaiter(ask).wait("a", timeout)


def follow(ask: Callable[..., ExecutionRecord], timeout: float | None) -> None:
    list(ExecutionStatusPoller(ask).follow("a", timeout))


@pytest.mark.parametrize("use", [wait, follow])
def test_a_silent_server_is_given_a_second_beyond_the_callers_time(
    use: Callable[..., None],
) -> None:
    asked: list[tuple[float, float | None]] = []

    def ask(_: str, hold: float, timeout: float | None) -> ExecutionRecord:
        asked.append((hold, timeout))
        return record(COMPLETE)

    for timeout in (1.0, 1000.0, None):
        use(ask, timeout)
    (hold, beside), *unhurried = asked
    assert beside is not None
    assert 1.5 < hold + beside <= 2.0
    assert [beside for _, beside in unhurried] == [None, None]


def test_execute_gives_a_silent_server_a_second_beyond_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[float | None, float]] = []

    def exchange(_: object, __: object, timeout: float | None = None, *, hold: float) -> Any:
        asked.append((timeout, hold))
        raise SILENCE

    monkeypatch.setattr(ExecutionClient, "exchange", exchange)
    with pytest.raises(RequestTimeout):
        ExecutionClient(7777).execute({}, timeout=1.0)
    ((beside, hold),) = asked
    assert beside is not None
    assert 1.5 < hold + beside <= 2.0
