"""The task, without a server."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from scan_viewer.scanner import ScanResult, ScanServer

from zmqruntime.execution import ExecutionCancelled
from zmqruntime.testing import TaskEnvironment


@pytest.fixture
def scanner(task_environment: type[TaskEnvironment]) -> TaskEnvironment:
    return task_environment(ScanServer())


def test_result_of_a_scan_is_a_picture(scanner: TaskEnvironment) -> None:
    result = ScanResult.model_validate(scanner.run({"lines": 3, "columns": 5}))
    assert [len(line) for line in result.lines] == [5, 5, 5]
    assert all(0 <= pixel <= 255 for line in result.lines for pixel in line)


def test_lines_are_reported_as_they_are_scanned(scanner: TaskEnvironment) -> None:
    result = scanner.run({"lines": 4, "columns": 2})
    assert [event.percent for event in scanner.progress] == [25, 50, 75, 100]
    pixels = [event.data["pixels"] for event in scanner.progress if event.data]
    assert {"lines": pixels} == result


def test_cancel_stops_a_scan_between_two_lines(scanner: TaskEnvironment) -> None:
    with pytest.raises(ExecutionCancelled):
        scanner.run({"lines": 100, "columns": 2}, cancel_at=2)
    assert len(scanner.progress) == 2


def test_scan_without_lines_is_invalid(scanner: TaskEnvironment) -> None:
    with pytest.raises(ValidationError, match="lines"):
        scanner.run({"lines": 0, "columns": 2})
