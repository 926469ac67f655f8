"""The view model with a real server and a real worker."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from scan_viewer.scanner import ScanServer, ScanTask, expose
from scan_viewer.view import Phase
from scan_viewer.view_model import ScanViewModel
from screen import PATIENCE, MakeModel, Screen

from zmqruntime.execution import (
    ExecutionClient,
    ExecutionHandle,
    ProgressCallback,
    UnknownExecution,
)
from zmqruntime.messages import ExecutionStatus
from zmqruntime.testing import ClientFactory, ServerFactory

LONG = ScanTask(lines=1000, columns=4, seconds_per_line=60)


@pytest.fixture
def server(execution_server: ServerFactory) -> ScanServer:
    return execution_server(ScanServer)


@pytest.fixture
def model(
    make_model: MakeModel, server: ScanServer, execution_client: ClientFactory
) -> ScanViewModel:
    return make_model(partial(execution_client, server))


def test_scan_fills_the_screen(model: ScanViewModel, screen: Screen) -> None:
    model.scan(ScanTask(lines=3, columns=5, seconds_per_line=0.05))
    view = screen.until(Phase.COMPLETE)
    assert view.lines == tuple(expose(n / 3, 5) for n in range(3))
    assert view.notice == "3 lines scanned."
    percents = [view.percent for view in screen.views]
    assert percents == sorted(percents)
    assert percents[-1] == 100


def test_scan_is_cancelled_and_another_started(model: ScanViewModel, screen: Screen) -> None:
    model.scan(LONG)
    screen.until(Phase.SCANNING)
    model.cancel()
    assert not model.view.can_cancel
    screen.until(Phase.CANCELLED)

    model.scan(ScanTask(lines=1, columns=1))
    screen.until(Phase.COMPLETE)


class LateClient(ExecutionClient):
    """Submits after a cancel was rejected because the execution was unknown."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rejected = threading.Event()

    def submit_execution(self, task: Any, config: Any = None, **options: Any) -> ExecutionHandle:
        assert self.rejected.wait(PATIENCE)
        return super().submit_execution(task, config, **options)

    def cancel_execution(self, execution_id: str) -> ExecutionStatus:
        try:
            return super().cancel_execution(execution_id)
        except UnknownExecution:
            self.rejected.set()
            raise


def test_cancel_before_the_submission_takes_effect(
    make_model: MakeModel, screen: Screen, server: ScanServer, execution_client: ClientFactory
) -> None:
    model = make_model(partial(execution_client, server, make=LateClient))
    model.scan(LONG)
    model.cancel()
    screen.until(Phase.CANCELLED)
    assert screen.phases[:2] == [Phase.CONNECTING, Phase.STOPPING]


def test_events_of_other_scans_are_not_shown(
    make_model: MakeModel, screen: Screen, server: ScanServer, execution_client: ClientFactory
) -> None:
    clients = []

    def make_client(*, progress_callback: ProgressCallback) -> ExecutionClient:
        clients.append(execution_client(server, progress_callback=progress_callback))
        return clients[-1]

    model = make_model(make_client)
    clients[0].execute(ScanTask(lines=2, columns=1))
    model.scan(ScanTask(lines=1, columns=1))
    screen.until(Phase.COMPLETE)
    assert screen.phases[0] is Phase.CONNECTING


def test_queued_scan_is_shown_as_waiting(
    model: ScanViewModel, screen: Screen, server: ScanServer, execution_client: ClientFactory
) -> None:
    first = execution_client(server).submit_execution(LONG)
    model.scan(ScanTask(lines=1, columns=1))
    assert screen.until(Phase.WAITING).can_cancel
    first.cancel()
    screen.until(Phase.COMPLETE)


def test_second_scan_is_ignored_while_one_is_active(model: ScanViewModel, screen: Screen) -> None:
    model.scan(LONG)
    model.scan(ScanTask(lines=1, columns=1))
    screen.until(Phase.SCANNING)
    model.cancel()
    screen.until(Phase.CANCELLED)
    assert screen.phases.count(Phase.CONNECTING) == 1


def test_failed_scan_shows_its_error(model: ScanViewModel, screen: Screen) -> None:
    model.scan(ScanTask.model_construct(lines=-1, columns=1))
    view = screen.until(Phase.FAILED)
    assert "lines" in view.notice


def test_cancel_without_a_scan_has_no_effect(model: ScanViewModel, screen: Screen) -> None:
    model.cancel()
    assert model.view.phase is Phase.IDLE
    assert screen.views == []
