"""`ExecutionWaiter` and `WaitPolicy`: held requests, retries, deadlines."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from scripted_status import SILENCE, Script, record

from zmqruntime.execution import (
    ExecutionClient,
    ExecutionStatusPoller,
    ExecutionWaiter,
    UnknownExecution,
    WaitPolicy,
    WaitTimeout,
)
from zmqruntime.messages import (
    ErrorCode,
    ErrorReply,
    ExecutionRecord,
    ExecutionStatus,
)
from zmqruntime.transport import RequestTimeout, ServerLost, TransportError
from zmqruntime.transport.lowlevel import Deadline

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

HASTY = WaitPolicy(retry_backoff_seconds=0.0)


@pytest.mark.parametrize("status", [COMPLETE, FAILED, CANCELLED])
def test_final_record_of_every_terminal_state_is_returned(status: ExecutionStatus) -> None:
    script = Script([record(status)])
    assert ExecutionWaiter(script).wait("a") == record(status)
    assert script.requests == [("a", 30.0)]


def test_requests_are_repeated_until_the_execution_has_ended() -> None:
    script = Script([record(QUEUED), record(RUNNING), record(COMPLETE)])
    assert ExecutionWaiter(script).wait("a").status is COMPLETE
    assert len(script.requests) == 3


def test_poll_interval_is_the_hold_of_each_request() -> None:
    script = Script([record(RUNNING), record(COMPLETE)])
    ExecutionWaiter(script, WaitPolicy(poll_interval=7.0)).wait("a")
    assert script.requests == [("a", 7.0), ("a", 7.0)]


def test_hold_ends_with_the_timeout() -> None:
    script = Script([record(COMPLETE)])
    ExecutionWaiter(script, WaitPolicy(poll_interval=60.0)).wait("a", timeout=50.0)
    ((_, hold),) = script.requests
    assert 0 < hold <= 50.0


def test_wait_timeout_names_the_execution_and_its_status() -> None:
    with pytest.raises(WaitTimeout, match="execution a is still running after 0 s; it continues"):
        ExecutionWaiter(Script([record(RUNNING)])).wait("a", timeout=0)


def test_timeout_of_zero_returns_a_final_record() -> None:
    assert ExecutionWaiter(Script([record(COMPLETE)])).wait("a", timeout=0).status is COMPLETE


def test_wait_timeout_is_a_timeout_error() -> None:
    with pytest.raises(TimeoutError):
        ExecutionWaiter(Script([record(QUEUED)])).wait("a", timeout=0)


def test_few_timeouts_are_retried() -> None:
    script = Script([SILENCE, SILENCE, record(COMPLETE)])
    assert ExecutionWaiter(script, HASTY).wait("a").status is COMPLETE


def test_reply_resets_the_count_of_timeouts() -> None:
    script = Script([SILENCE, SILENCE, record(RUNNING), SILENCE, SILENCE, record(COMPLETE)])
    assert ExecutionWaiter(script, HASTY).wait("a").status is COMPLETE


def test_repeated_timeouts_end_a_wait_without_a_deadline() -> None:
    script = Script(itertools.repeat(SILENCE))
    with pytest.raises(RequestTimeout):
        ExecutionWaiter(script, HASTY).wait("a")
    assert len(script.requests) == 3


def test_max_consecutive_errors_bounds_the_retries() -> None:
    script = Script(itertools.repeat(SILENCE))
    policy = WaitPolicy(max_consecutive_errors=5, retry_backoff_seconds=0.0)
    with pytest.raises(RequestTimeout):
        ExecutionWaiter(script, policy).wait("a")
    assert len(script.requests) == 5


def test_timeout_at_the_deadline_is_not_retried() -> None:
    script = Script(itertools.repeat(SILENCE))
    with pytest.raises(RequestTimeout):
        ExecutionWaiter(script, HASTY).wait("a", timeout=0)
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        ServerLost("gone"),
        UnknownExecution(ErrorReply(code=ErrorCode.UNKNOWN_EXECUTION, message="unknown")),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_not_retried(error: BaseException) -> None:
    script = Script([error])
    with pytest.raises(type(error)) as caught:
        ExecutionWaiter(script).wait("a")
    assert caught.value is error


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"poll_interval": 0.0}, "poll_interval is 0.0: it has to be more than 0 and at most 60"),
        ({"poll_interval": -1.0}, "poll_interval"),
        ({"poll_interval": 60.5}, "poll_interval is 60.5"),
        ({"poll_interval": float("nan")}, "poll_interval is nan"),
        ({"max_consecutive_errors": 0}, "max_consecutive_errors is 0: it has to be at least 1"),
        ({"retry_backoff_seconds": -0.1}, "retry_backoff_seconds is -0.1: it has to be at least 0"),
        ({"retry_backoff_seconds": float("nan")}, "retry_backoff_seconds is nan"),
        ({"retry_backoff_seconds": float("inf")}, "retry_backoff_seconds is inf"),
    ],
)
def test_policy_out_of_range_raises(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        WaitPolicy(**values)


def test_poll_interval_may_be_the_longest_hold_of_the_protocol() -> None:
    assert WaitPolicy(poll_interval=60.0).poll_interval == 60.0


def test_backoff_doubles() -> None:
    policy = WaitPolicy(retry_backoff_seconds=0.5)
    assert [policy.backoff(n) for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]


def test_backoff_is_bounded_and_does_not_overflow() -> None:
    assert WaitPolicy(retry_backoff_seconds=0.0).backoff(5000) == 0.0
    assert WaitPolicy(retry_backoff_seconds=0.5).backoff(5000) == 60.0


def test_request_timeout_ends_soon_after_the_deadline() -> None:
    seconds: list[float | None] = []

    def ask(execution_id: str, hold: float, timeout: float | None) -> Any:
        seconds.append(timeout)
        return record(COMPLETE)

    ExecutionWaiter(ask).wait("a", timeout=0)
    ExecutionWaiter(ask).wait("a", timeout=3.0)
    ExecutionWaiter(ask).wait("a", timeout=3600.0)
    ExecutionWaiter(ask).wait("a")
    near, short, far, endless = seconds
    assert near is not None
    assert near <= 2.0
    assert short is not None
    assert short <= 2.0  # In addition to the hold of 3 s.
    assert (far, endless) == (None, None)  # The configuration's timeout.


def test_request_is_retried_when_a_lost_server_has_returned() -> None:
    waited: list[Deadline] = []
    script = Script([ServerLost("gone"), record(RUNNING), ServerLost("again"), record(COMPLETE)])
    waiter = ExecutionWaiter(script, outlast=lambda _, deadline: waited.append(deadline))
    assert waiter.wait("a", timeout=600).status is COMPLETE
    assert len(waited) == 2
    assert all(500 < deadline.remaining <= 600 for deadline in waited)


def test_loss_of_a_server_that_does_not_return_is_raised() -> None:
    def outlast(lost: ServerLost, deadline: Deadline) -> None:
        raise lost

    with pytest.raises(ServerLost, match="gone"):
        ExecutionWaiter(Script([ServerLost("gone")]), outlast=outlast).wait("a")


def test_timeouts_do_not_end_a_wait_with_a_deadline() -> None:
    script = Script([*[SILENCE] * 20, record(COMPLETE)])
    assert ExecutionWaiter(script, HASTY).wait("a", timeout=600).status is COMPLETE


# -- the caller's deadline


def wait(ask: Callable[..., ExecutionRecord], timeout: float | None) -> None:
    ExecutionWaiter(ask).wait("a", timeout)


def follow(ask: Callable[..., ExecutionRecord], timeout: float | None) -> None:
    list(ExecutionStatusPoller(ask).follow("a", timeout))


@pytest.mark.parametrize("use", [wait, follow])
def test_request_may_take_a_second_beyond_the_deadline_of_the_caller(
    use: Callable[..., None],
) -> None:
    sent: list[tuple[float, float | None]] = []

    def ask(_: str, hold: float, timeout: float | None) -> ExecutionRecord:
        sent.append((hold, timeout))
        return record(COMPLETE)

    for timeout in (1.0, 1000.0, None):
        use(ask, timeout)
    (hold, beside), *unhurried = sent
    assert beside is not None
    assert 1.5 < hold + beside <= 2.0
    assert [beside for _, beside in unhurried] == [None, None]


def test_execute_may_take_a_second_beyond_its_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[float | None, float]] = []

    def request(_: object, __: object, timeout: float | None = None, *, hold: float) -> Any:
        sent.append((timeout, hold))
        raise SILENCE

    def outlast(_: object, error: TransportError, __: object) -> None:
        raise error

    monkeypatch.setattr(ExecutionClient, "request", request)
    monkeypatch.setattr(ExecutionClient, "outlast", outlast)
    monkeypatch.setattr(ExecutionClient, "pong", SimpleNamespace(process=None))
    with pytest.raises(RequestTimeout):
        ExecutionClient(7777).execute({}, timeout=1.0)
    ((beside, hold),) = sent
    assert beside is not None
    assert 1.5 < hold + beside <= 2.0
