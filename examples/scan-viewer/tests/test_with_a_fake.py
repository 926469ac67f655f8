"""The view model with a server that does as it is told: what is rare in life, in no time."""

from __future__ import annotations

from functools import partial

import pytest
from scan_viewer.scanner import ScanTask
from scan_viewer.view import Phase
from scan_viewer.view_model import ScanViewModel
from screen import MakeModel, Screen

from zmqruntime.messages import ErrorCode, ExecuteRequest, JsonObject
from zmqruntime.testing import ClientFactory, FakeServerFactory, InMemoryExecutionServer, Script

TASK = ScanTask(lines=2, columns=2)
LINE: JsonObject = {"number": 1, "pixels": [7, 8]}


@pytest.fixture
def fake(fake_execution_server: FakeServerFactory) -> InMemoryExecutionServer:
    return fake_execution_server(in_memory=True)


@pytest.fixture
def model(
    make_model: MakeModel, execution_client: ClientFactory, fake: InMemoryExecutionServer
) -> ScanViewModel:
    return make_model(partial(execution_client, fake))


def test_a_scan_is_shown_as_it_grows(
    model: ScanViewModel, screen: Screen, fake: InMemoryExecutionServer
) -> None:
    fake.plan(
        Script().progress(1, 2, data=LINE).complete({"lines": [[5, 6], [7, 8]]}),
    )
    model.scan(TASK)
    view = screen.until(Phase.COMPLETE)
    assert view.lines == ((5, 6), (7, 8))
    assert any(view.lines == (None, (7, 8)) for view in screen.views)
    (asked,) = fake.asked(ExecuteRequest)
    assert ScanTask.model_validate(asked.task) == TASK


def test_a_full_queue_is_told_and_nothing_is_scanned(
    model: ScanViewModel, screen: Screen, fake: InMemoryExecutionServer
) -> None:
    fake.reject(ErrorCode.QUEUE_FULL, "five scans wait already")
    model.scan(TASK)
    assert "five scans wait already" in screen.until(Phase.FAILED).notice


def test_a_result_that_is_no_picture_is_told_of_and_one_can_scan_again(
    model: ScanViewModel,
    screen: Screen,
    fake: InMemoryExecutionServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake.plan(Script().complete({"other": 1}))
    model.scan(TASK)
    view = screen.until(Phase.FAILED)
    assert "ScanResult" in view.notice
    assert view.can_scan
    assert "met a defect" in caplog.text


def test_a_server_that_dies_half_way_is_no_cancelled_scan(
    model: ScanViewModel, screen: Screen, fake: InMemoryExecutionServer
) -> None:
    fake.plan(Script().progress(1, 2, data=LINE).server_dies())
    model.scan(TASK)
    assert "may not have ended" in screen.until(Phase.SERVER_LOST).notice
    assert Phase.CANCELLED not in screen.phases


def test_a_scan_that_would_never_end_is_cancelled(
    model: ScanViewModel, screen: Screen, fake: InMemoryExecutionServer
) -> None:
    fake.plan(Script().never_end())
    model.scan(TASK)
    screen.until(Phase.SCANNING)
    model.cancel()
    screen.until(Phase.CANCELLED)
