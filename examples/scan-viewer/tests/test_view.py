"""What the window shows, as values."""

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


def test_a_scan_can_be_begun_or_cancelled_never_both() -> None:
    views = [ScanView(phase) for phase in Phase]
    assert not [view for view in views if view.can_scan and view.can_cancel]
    neither = [view.phase for view in views if not view.can_scan and not view.can_cancel]
    assert neither == [Phase.STOPPING]


def test_a_scan_waits_for_its_turn_and_runs() -> None:
    waiting = BEGUN.after(state(ExecutionStatus.QUEUED))
    assert waiting.phase is Phase.WAITING
    assert waiting.after(state(ExecutionStatus.RUNNING)).phase is Phase.SCANNING


def test_lines_appear_where_they_belong_also_when_one_is_lost() -> None:
    view = BEGUN.after(line(0)).after(line(2))
    assert view.lines == ((0, 0), None, (2, 2))
    assert view.percent == 50


def test_progress_without_a_line_is_progress() -> None:
    event = ProgressEvent(execution_id="x", sequence=3, timestamp=0, percent=75)
    view = BEGUN.after(line(0)).after(event)
    assert view.percent == 75
    assert view.lines == ((0, 0), None, None)


def test_the_result_fills_what_was_lost() -> None:
    view = BEGUN.after(line(0)).completed(ScanResult(lines=((0, 0), (1, 1), (2, 2))))
    assert view.lines == ((0, 0), (1, 1), (2, 2))
    assert view.percent == 100


def test_what_arrives_while_it_stops_is_shown_and_stops_it_no_less() -> None:
    view = BEGUN.stopping().after(state(ExecutionStatus.RUNNING)).after(line(1))
    assert view.phase is Phase.STOPPING
    assert view.lines[1] == (1, 1)


@pytest.mark.parametrize(
    "view", [BEGUN.cancelled(), BEGUN.failed("no light"), BEGUN.server_lost("gone")]
)
def test_after_an_end_of_any_kind_one_can_scan_again(view: ScanView) -> None:
    assert view.can_scan
    again = view.begun(ScanTask(lines=1, columns=1))
    assert (again.percent, again.lines) == (0, (None,))


def test_a_lost_server_is_no_cancelled_scan() -> None:
    view = BEGUN.after(line(0)).server_lost("it is gone")
    assert view.phase is Phase.SERVER_LOST
    assert "may not have ended" in view.notice
    assert view.lines[0] == (0, 0)
