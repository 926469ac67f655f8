"""The view model with a scripted server: rare outcomes."""

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


def test_scan_is_shown_line_by_line(
    model: ScanViewModel, screen: Screen, fake: InMemoryExecutionServer
) -> None:
    fake.plan(
        Script().progress(1, 2, data=LINE).complete({"lines": [[5, 6], [7, 8]]}),
    )
    model.scan(TASK)
    view = screen.until(Phase.COMPLETE)
    assert view.lines == ((5, 6), (7, 8))
    assert any(view.lines == (None, (7, 8)) for view in screen.views)
    (request,) = fake.asked(ExecuteRequest)
    assert ScanTask.model_validate(request.task) == TASK


def test_full_queue_is_shown_as_a_failure(
    model: ScanViewModel, screen: Screen, fake: InMemoryExecutionServer
) -> None:
    fake.reject(ErrorCode.QUEUE_FULL, "five scans are queued")
    model.scan(TASK)
    assert "five scans are queued" in screen.until(Phase.FAILED).notice


def test_invalid_result_is_shown_and_the_next_scan_is_possible(
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
    assert "unexpected error" in caplog.text


def test_death_of_the_server_is_not_shown_as_cancelled(
    model: ScanViewModel, screen: Screen, fake: InMemoryExecutionServer
) -> None:
    fake.plan(Script().progress(1, 2, data=LINE).server_dies())
    model.scan(TASK)
    assert "may not have ended" in screen.until(Phase.SERVER_LOST).notice
    assert Phase.CANCELLED not in screen.phases


def test_endless_scan_is_cancelled(
    model: ScanViewModel, screen: Screen, fake: InMemoryExecutionServer
) -> None:
    fake.plan(Script().never_end())
    model.scan(TASK)
    screen.until(Phase.SCANNING)
    model.cancel()
    screen.until(Phase.CANCELLED)
