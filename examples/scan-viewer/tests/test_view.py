"""The views of the window."""

from __future__ import annotations

import pytest
from scan_viewer.scanner import ScanResult, ScanTask
from scan_viewer.view import Phase, ScanView

from zmqruntime.messages import ExecutionStatus, ProgressEvent, StateEvent

BEGUN = ScanView().begun(ScanTask(lines=3, columns=2))


def state(status: ExecutionStatus) -> StateEvent:
    return StateEvent(execution_id="x", sequence=1, timestamp=0, status=status, submitted_at=0)


def line(number: int) -> ProgressEvent:
    return ProgressEvent(
        execution_id="x",
        sequence=2,
        timestamp=0,
        percent=50,
        data={"number": number, "pixels": [number, number]},
    )


def test_scan_can_be_started_or_cancelled_but_not_both() -> None:
    views = [ScanView(phase) for phase in Phase]
    assert not [view for view in views if view.can_scan and view.can_cancel]
    neither = [view.phase for view in views if not view.can_scan and not view.can_cancel]
    assert neither == [Phase.STOPPING]


def test_scan_is_shown_as_waiting_and_then_running() -> None:
    waiting = BEGUN.after(state(ExecutionStatus.QUEUED))
    assert waiting.phase is Phase.WAITING
    assert waiting.after(state(ExecutionStatus.RUNNING)).phase is Phase.SCANNING


def test_lines_appear_at_their_positions_after_a_lost_one() -> None:
    view = BEGUN.after(line(0)).after(line(2))
    assert view.lines == ((0, 0), None, (2, 2))
    assert view.percent == 50


def test_progress_without_a_line_changes_the_percentage() -> None:
    event = ProgressEvent(execution_id="x", sequence=3, timestamp=0, percent=75)
    view = BEGUN.after(line(0)).after(event)
    assert view.percent == 75
    assert view.lines == ((0, 0), None, None)


def test_result_fills_lost_lines() -> None:
    view = BEGUN.after(line(0)).completed(ScanResult(lines=((0, 0), (1, 1), (2, 2))))
    assert view.lines == ((0, 0), (1, 1), (2, 2))
    assert view.percent == 100


def test_events_while_stopping_change_lines_but_not_the_phase() -> None:
    view = BEGUN.stopping().after(state(ExecutionStatus.RUNNING)).after(line(1))
    assert view.phase is Phase.STOPPING
    assert view.lines[1] == (1, 1)


@pytest.mark.parametrize(
    "view", [BEGUN.cancelled(), BEGUN.failed("no light"), BEGUN.server_lost("gone")]
)
def test_scan_can_be_started_after_each_kind_of_end(view: ScanView) -> None:
    assert view.can_scan
    again = view.begun(ScanTask(lines=1, columns=1))
    assert (again.percent, again.lines) == (0, (None,))


def test_lost_server_is_not_shown_as_a_cancelled_scan() -> None:
    view = BEGUN.after(line(0)).server_lost("it is gone")
    assert view.phase is Phase.SERVER_LOST
    assert "may not have ended" in view.notice
    assert view.lines[0] == (0, 0)
