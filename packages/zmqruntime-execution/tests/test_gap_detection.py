"""`GapDetector`: duplicates, gaps, restarts, and its bound on watched executions."""

from __future__ import annotations

import pytest

from zmqruntime.execution.client.gap_detection import Gap, GapDetector
from zmqruntime.messages import SEQUENCE_GAP, ExecutionStatus, ProgressEvent, StateEvent

LARGEST_GAP = SEQUENCE_GAP // 2 - 1
"""The largest number of missing events that is not taken for a restart."""


def progress(sequence: int, execution_id: str = "a") -> ProgressEvent:
    return ProgressEvent(execution_id=execution_id, sequence=sequence, timestamp=1.0)


def end(sequence: int, execution_id: str = "a") -> StateEvent:
    return StateEvent(
        execution_id=execution_id,
        sequence=sequence,
        timestamp=1.0,
        status=ExecutionStatus.COMPLETE,
        submitted_at=1.0,
        finished_at=1.0,
    )


@pytest.mark.parametrize(
    ("missing", "gap"),
    [
        (0, Gap(0, restarted=False)),
        (1, Gap(1, restarted=False)),
        (LARGEST_GAP, Gap(LARGEST_GAP, restarted=False)),
        (LARGEST_GAP + 1, Gap(0, restarted=True)),
        (SEQUENCE_GAP, Gap(0, restarted=True)),
    ],
)
def test_gap_of_half_the_sequence_gap_means_a_restart(missing: int, gap: Gap) -> None:
    detector = GapDetector()
    assert detector.accept(progress(1)) == Gap(0, restarted=False)
    assert detector.accept(progress(2 + missing)) == gap


def test_least_recently_updated_execution_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqruntime.execution.client.gap_detection._MAX_WATCHED", 3)
    detector = GapDetector()
    for execution_id in "abcadef":
        detector.accept(progress(1, execution_id))
    assert [name for name, _ in detector.list_unfinished()] == ["d", "e", "f"]


def test_forgotten_executions_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqruntime.execution.client.gap_detection._MAX_WATCHED", 3)
    detector = GapDetector()
    for n in range(100):
        detector.accept(end(1, f"x{n}"))
    assert detector._ended == set(detector._last) == {"x97", "x98", "x99"}
    detector.forget("x99")
    assert detector._ended == set(detector._last) == {"x97", "x98"}
