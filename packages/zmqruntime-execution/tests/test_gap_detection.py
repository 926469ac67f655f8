"""`GapDetector`: duplicates, gaps, restarts, and its bound; `UnconfirmedGaps`: two passes."""

from __future__ import annotations

import pytest

from zmqruntime.execution.client.gap_detection import Gap, GapDetector, UnconfirmedGaps
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


def test_fast_path_accepts_only_the_next_event_of_a_watched_execution() -> None:
    detector = GapDetector()
    assert not detector.accept_next(progress(1))
    detector.expect("a")
    assert not detector.accept_next(progress(1, "b"))
    assert not detector.accept_next(progress(2))
    assert detector.accept_next(progress(1))
    assert not detector.accept_next(progress(1))
    assert detector.accept_next(end(2))
    assert not detector.accept_next(progress(3))
    assert detector.list_unfinished() == []


def test_gap_lies_between_the_last_event_and_one_beyond_the_next() -> None:
    detector = GapDetector()
    detector.accept(progress(4))
    found = [detector.find_gap(progress(sequence)) for sequence in (3, 4, 5, 6)]
    assert found == [None, None, None, 4]


def test_expected_execution_that_is_watched_already_keeps_its_last_number() -> None:
    detector = GapDetector()
    detector.accept(progress(3))
    detector.expect("a")
    assert detector.list_unfinished() == [("a", 3)]


def test_expected_execution_that_has_ended_is_unfinished_from_its_first_event() -> None:
    detector = GapDetector()
    detector.accept(end(3))
    detector.expect("a")
    assert detector.list_unfinished() == [("a", 0)]


def test_first_event_of_a_reused_id_makes_its_execution_unfinished() -> None:
    detector = GapDetector()
    detector.accept(end(3))
    assert detector.accept(progress(1)) == Gap(0, restarted=False)
    assert detector.list_unfinished() == [("a", 1)]


def test_last_number_is_only_lowered() -> None:
    detector = GapDetector()
    detector.accept(progress(5))
    detector.lower_last("a", 7)
    assert detector.list_unfinished() == [("a", 5)]
    detector.lower_last("a", 3)
    assert detector.list_unfinished() == [("a", 3)]


def test_unknown_execution_is_not_watched_when_its_number_is_lowered() -> None:
    detector = GapDetector()
    detector.lower_last("a", 0)
    assert detector.list_unfinished() == []


def test_unknown_execution_is_forgotten_without_an_error() -> None:
    detector = GapDetector()
    detector.accept(progress(1))
    detector.forget("b")
    assert detector.list_unfinished() == [("a", 1)]


def test_gap_is_confirmed_by_the_second_pass_behind_the_events_of_the_first() -> None:
    gaps = UnconfirmedGaps()
    replayed = [progress(2), progress(3), progress(6)]
    assert gaps.drop_unconfirmed("a", 1, replayed) == replayed[:2]
    gaps.end_pass()
    assert gaps
    assert gaps.drop_unconfirmed("a", 3, [progress(6)]) == [progress(6)]
    gaps.end_pass()
    assert not gaps
