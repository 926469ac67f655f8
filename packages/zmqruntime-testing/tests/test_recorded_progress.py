"""`RecordedProgress`."""

from __future__ import annotations

import threading

import pytest

from zmqruntime.messages import ExecutionStatus, ProgressEvent, StateEvent
from zmqruntime.testing import RecordedProgress, UsedAfterTest


def progress(execution_id: str, sequence: int) -> ProgressEvent:
    return ProgressEvent(
        execution_id=execution_id, sequence=sequence, timestamp=1.0, completed=sequence
    )


def end(execution_id: str) -> StateEvent:
    return StateEvent(
        execution_id=execution_id,
        sequence=9,
        timestamp=2.0,
        status=ExecutionStatus.COMPLETE,
        submitted_at=1.0,
    )


def test_events_are_recorded(recorded_progress: RecordedProgress) -> None:
    for event in (progress("a", 1), progress("b", 1), end("a")):
        recorded_progress(event)
    assert recorded_progress.of("a") == [progress("a", 1), end("a")]
    assert recorded_progress.progress == [progress("a", 1), progress("b", 1)]
    assert recorded_progress.until_end("a") == recorded_progress.of("a")


def test_wait_returns_when_the_condition_is_satisfied(recorded_progress: RecordedProgress) -> None:
    thread = threading.Thread(target=lambda: recorded_progress(end("a")))
    thread.start()
    assert recorded_progress.wait_for(lambda events: len(events) == 1) == [end("a")]
    thread.join()


def test_wait_timeout_lists_the_events(recorded_progress: RecordedProgress) -> None:
    with pytest.raises(AssertionError, match=r"within 0\.01 s; events:\n  none"):
        recorded_progress.until_end("a", timeout=0.01)
    recorded_progress(progress("b", 1))
    with pytest.raises(AssertionError, match="execution_id='b'"):
        recorded_progress.until_end("a", timeout=0.01)


def test_use_after_the_test_is_rejected() -> None:
    recorded = RecordedProgress()
    recorded.close()
    recorded(progress("a", 1))  # A late event of a client that is disconnecting is accepted.
    with pytest.raises(UsedAfterTest, match="recorded_progress was used after its test"):
        recorded.of("a")
