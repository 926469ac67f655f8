"""Errors of executions: classes, messages, pickling."""

from __future__ import annotations

import pickle

import pytest
from driving import error
from scripted_status import record

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
def test_each_error_code_has_its_class_and_keeps_the_message(code: ErrorCode) -> None:
    details = (ErrorDetail(field="task.x", message="is no number"),)
    found = rejection(ErrorReply(code=code, message="a message", details=details))
    expected = {
        ErrorCode.UNKNOWN_EXECUTION: UnknownExecution,
        ErrorCode.CONFLICT: Conflict,
        ErrorCode.QUEUE_FULL: QueueFull,
        ErrorCode.SHUTTING_DOWN: ShuttingDown,
        ErrorCode.JOURNAL_UNAVAILABLE: JournalUnavailable,
    }.get(code, RequestRejected)
    assert type(found) is expected
    assert (str(found), found.code, found.details) == ("a message", code, details)


def test_message_of_a_failure_names_execution_and_error() -> None:
    failed = record(FAILED, execution_id="run-7", error=error("no such file"))
    with pytest.raises(ExecutionFailed) as caught:
        raise_unless_complete(failed)
    assert str(caught.value) == "execution run-7 failed (ValueError: no such file)"
    assert caught.value.record == failed


def test_message_of_a_failure_without_an_error() -> None:
    assert str(ExecutionFailed(record(FAILED))) == "execution a failed (reason unknown)"


def test_cancelled_record_raises_execution_cancelled() -> None:
    with pytest.raises(ExecutionCancelled, match=r"execution a was cancelled$") as caught:
        raise_unless_complete(record(CANCELLED))
    assert not isinstance(caught.value, ExecutionFailed)


def test_message_of_a_cancel_by_the_server_has_its_reason() -> None:
    stopped = record(CANCELLED, error=error("the server was shut down before it ran"))
    with pytest.raises(ExecutionCancelled, match="was cancelled: the server was shut down"):
        raise_unless_complete(stopped)


@pytest.mark.parametrize("status", [COMPLETE, RUNNING, QUEUED])
def test_other_records_raise_nothing(status: ExecutionStatus) -> None:
    raise_unless_complete(record(status))


def test_task_cancelled_is_not_an_exception_subclass() -> None:
    assert issubclass(TaskCancelled, KeyboardInterrupt)
    assert not issubclass(TaskCancelled, Exception | ExecutionError)


@pytest.mark.parametrize(
    "raised",
    [
        rejection(ErrorReply(code=ErrorCode.CONFLICT, message="a message")),
        rejection(ErrorReply(code=ErrorCode.INTERNAL, message="a message")),
        ExecutionFailed(record(FAILED, error=error())),
        ExecutionCancelled(record(CANCELLED)),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_errors_survive_pickling(raised: Exception) -> None:
    again = pickle.loads(pickle.dumps(raised))
    assert type(again) is type(raised)
    assert str(again) == str(raised)
    assert vars(again) == vars(raised)
