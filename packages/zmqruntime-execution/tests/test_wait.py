"""Waiting asks one held request after another, and ends at the end."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from asking import SILENCE, Script, record

from zmqruntime.execution import ExecutionWaiter, UnknownExecution, WaitPolicy, WaitTimeout
from zmqruntime.messages import ErrorCode, ErrorReply, ExecutionStatus
from zmqruntime.transport import RequestTimeout, ServerLost
from zmqruntime.transport.lowlevel import Deadline

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

HASTY = WaitPolicy(retry_backoff_seconds=0.0)


@pytest.mark.parametrize("status", [COMPLETE, FAILED, CANCELLED])
def test_an_end_of_whatever_kind_is_returned(status: ExecutionStatus) -> None:
    script = Script([record(status)])
    assert ExecutionWaiter(script).wait("a") == record(status)
    assert script.asked == [("a", 30.0)]


def test_as_long_as_it_goes_on_it_is_asked_again() -> None:
    script = Script([record(QUEUED), record(RUNNING), record(COMPLETE)])
    assert ExecutionWaiter(script).wait("a").status is COMPLETE
    assert len(script.asked) == 3


def test_each_request_is_held_as_the_policy_says() -> None:
    script = Script([record(RUNNING), record(COMPLETE)])
    ExecutionWaiter(script, WaitPolicy(poll_interval=7.0)).wait("a")
    assert script.asked == [("a", 7.0), ("a", 7.0)]


def test_no_request_is_held_beyond_the_time() -> None:
    script = Script([record(COMPLETE)])
    ExecutionWaiter(script, WaitPolicy(poll_interval=60.0)).wait("a", timeout=50.0)
    ((_, hold),) = script.asked
    assert 0 < hold <= 50.0


def test_when_the_time_is_up_that_is_told_and_nothing_is_cancelled() -> None:
    with pytest.raises(WaitTimeout, match="execution a is still running after 0 s; it goes on"):
        ExecutionWaiter(Script([record(RUNNING)])).wait("a", timeout=0)


def test_an_end_that_is_there_is_returned_in_no_time_at_all() -> None:
    assert ExecutionWaiter(Script([record(COMPLETE)])).wait("a", timeout=0).status is COMPLETE


def test_a_wait_timeout_is_a_timeout_error() -> None:
    with pytest.raises(TimeoutError):
        ExecutionWaiter(Script([record(QUEUED)])).wait("a", timeout=0)


def test_a_few_requests_may_go_unanswered() -> None:
    script = Script([SILENCE, SILENCE, record(COMPLETE)])
    assert ExecutionWaiter(script, HASTY).wait("a").status is COMPLETE


def test_an_answer_makes_good_for_the_silence_before() -> None:
    script = Script([SILENCE, SILENCE, record(RUNNING), SILENCE, SILENCE, record(COMPLETE)])
    assert ExecutionWaiter(script, HASTY).wait("a").status is COMPLETE


def test_a_server_that_never_answers_is_given_up() -> None:
    script = Script(itertools.repeat(SILENCE))
    with pytest.raises(RequestTimeout):
        ExecutionWaiter(script, HASTY).wait("a")
    assert len(script.asked) == 3


def test_patience_is_the_policys() -> None:
    script = Script(itertools.repeat(SILENCE))
    policy = WaitPolicy(max_consecutive_errors=5, retry_backoff_seconds=0.0)
    with pytest.raises(RequestTimeout):
        ExecutionWaiter(script, policy).wait("a")
    assert len(script.asked) == 5


def test_a_silent_server_is_not_asked_beyond_the_time() -> None:
    script = Script(itertools.repeat(SILENCE))
    with pytest.raises(RequestTimeout):
        ExecutionWaiter(script, HASTY).wait("a", timeout=0)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "error",
    [
        ServerLost("it is gone"),
        UnknownExecution(ErrorReply(code=ErrorCode.UNKNOWN_EXECUTION, message="never heard")),
        KeyboardInterrupt(),
    ],
)
def test_what_no_patience_mends_is_raised_at_once(error: BaseException) -> None:
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
def test_a_policy_that_makes_no_sense_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        WaitPolicy(**values)


def test_a_policy_may_hold_as_long_as_the_protocol_allows() -> None:
    assert WaitPolicy(poll_interval=60.0).poll_interval == 60.0


def test_each_further_wait_is_twice_as_long() -> None:
    policy = WaitPolicy(retry_backoff_seconds=0.5)
    assert [policy.backoff(n) for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]


def test_backing_off_for_ever_is_no_overflow() -> None:
    assert WaitPolicy(retry_backoff_seconds=0.0).backoff(5000) == 0.0
    assert WaitPolicy(retry_backoff_seconds=0.5).backoff(5000) == 60.0


def test_near_its_end_a_request_gets_no_longer_than_is_left() -> None:
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
    assert short <= 2.0  # beside the hold of three
    assert (far, endless) == (None, None)  # the configuration's


def test_a_lost_server_is_waited_for_and_asked_again() -> None:
    waited: list[Deadline] = []
    script = Script([ServerLost("gone"), record(RUNNING), ServerLost("again"), record(COMPLETE)])
    waiter = ExecutionWaiter(script, outlast=lambda _, deadline: waited.append(deadline))
    assert waiter.wait("a", timeout=600).status is COMPLETE
    assert len(waited) == 2
    assert all(500 < deadline.remaining <= 600 for deadline in waited)


def test_a_server_that_is_not_back_is_lost() -> None:
    def outlast(lost: ServerLost, deadline: Deadline) -> None:
        raise lost

    with pytest.raises(ServerLost, match="for good"):
        ExecutionWaiter(Script([ServerLost("for good")]), outlast=outlast).wait("a")


def test_a_wait_with_a_deadline_outlasts_any_number_of_silences() -> None:
    script = Script([*[SILENCE] * 20, record(COMPLETE)])
    assert ExecutionWaiter(script, HASTY).wait("a", timeout=600).status is COMPLETE
