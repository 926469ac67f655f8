"""Errors tell whose fault it was, and survive being handed on."""

from __future__ import annotations

import pickle

import pytest
from asking import record
from driving import error

from zmqruntime.execution import (
    Conflict,
    ExecutionCancelled,
    ExecutionError,
    ExecutionFailed,
    JournalUnavailable,
    QueueFull,
    RequestRejected,
    ShuttingDown,
    TaskCancelled,
    UnknownExecution,
)
from zmqruntime.execution.errors import raise_unless_complete, rejection
from zmqruntime.messages import ErrorCode, ErrorDetail, ErrorReply, ExecutionStatus

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


@pytest.mark.parametrize("code", list(ErrorCode))
def test_each_refusal_has_its_class_and_says_what_the_server_said(code: ErrorCode) -> None:
    details = (ErrorDetail(field="task.x", message="is no number"),)
    found = rejection(ErrorReply(code=code, message="a sentence", details=details))
    expected = {
        ErrorCode.UNKNOWN_EXECUTION: UnknownExecution,
        ErrorCode.CONFLICT: Conflict,
        ErrorCode.QUEUE_FULL: QueueFull,
        ErrorCode.SHUTTING_DOWN: ShuttingDown,
        ErrorCode.JOURNAL_UNAVAILABLE: JournalUnavailable,
    }.get(code, RequestRejected)
    assert type(found) is expected
    assert (str(found), found.code, found.details) == ("a sentence", code, details)


def test_a_failure_says_what_failed_of_what() -> None:
    failed = record(FAILED, execution_id="run-7", error=error("no such file"))
    with pytest.raises(ExecutionFailed) as caught:
        raise_unless_complete(failed)
    assert str(caught.value) == "execution run-7 failed (ValueError: no such file)"
    assert caught.value.record == failed


def test_a_failure_without_a_reason_is_told_as_well() -> None:
    assert str(ExecutionFailed(record(FAILED))) == "execution a failed (no reason is known)"


def test_a_cancel_is_no_failure() -> None:
    with pytest.raises(ExecutionCancelled, match=r"execution a was cancelled$") as caught:
        raise_unless_complete(record(CANCELLED))
    assert not isinstance(caught.value, ExecutionFailed)


def test_a_cancel_that_nobody_asked_for_has_its_reason() -> None:
    stopped = record(CANCELLED, error=error("the server was shut down before it ran"))
    with pytest.raises(ExecutionCancelled, match="was cancelled: the server was shut down"):
        raise_unless_complete(stopped)


@pytest.mark.parametrize("status", [COMPLETE, RUNNING, QUEUED])
def test_what_did_not_go_wrong_raises_nothing(status: ExecutionStatus) -> None:
    raise_unless_complete(record(status))


def test_a_task_that_catches_exceptions_does_not_swallow_its_end() -> None:
    assert issubclass(TaskCancelled, KeyboardInterrupt)
    assert not issubclass(TaskCancelled, Exception | ExecutionError)


@pytest.mark.parametrize(
    "raised",
    [
        rejection(ErrorReply(code=ErrorCode.CONFLICT, message="a sentence")),
        rejection(ErrorReply(code=ErrorCode.INTERNAL, message="a sentence")),
        ExecutionFailed(record(FAILED, error=error())),
        ExecutionCancelled(record(CANCELLED)),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_an_error_survives_pickling_as_a_process_pool_needs(raised: Exception) -> None:
    again = pickle.loads(pickle.dumps(raised))
    assert type(again) is type(raised)
    assert str(again) == str(raised)
    assert vars(again) == vars(raised)
