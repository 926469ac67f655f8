"""The view model after the loss of its server, and without one."""

from __future__ import annotations

from functools import partial

import psutil
import pytest
from scan_viewer.scanner import ScanServer, ScanTask
from scan_viewer.view import Phase
from scan_viewer.view_model import ScanViewModel
from screen import MakeModel, Screen

from zmqruntime.execution import ExecutionClient, ExecutionServerLauncher
from zmqruntime.messages import ProcessInfo
from zmqruntime.testing import ClientFactory
from zmqruntime.transport import ZMQConfig

LONG = ScanTask(lines=1000, columns=4, seconds_per_line=60)
SHORT = ScanTask(lines=1, columns=1)


@pytest.fixture
def model(make_model: MakeModel, execution_client: ClientFactory) -> ScanViewModel:
    """A view model whose client launches the server."""
    return make_model(partial(execution_client, launcher=ExecutionServerLauncher(ScanServer)))


@pytest.fixture
def process(model: ScanViewModel, execution_client: ClientFactory) -> ProcessInfo:
    """The server's process."""
    return execution_client().ping().process


def kill(process: ProcessInfo) -> None:
    psutil.Process(process.pid).kill()


def test_death_of_the_server_is_shown_and_the_next_scan_launches_another(
    model: ScanViewModel, screen: Screen, process: ProcessInfo
) -> None:
    model.scan(LONG)
    screen.until(Phase.SCANNING)
    kill(process)
    view = screen.until(Phase.SERVER_LOST)
    assert "is not there" in view.notice
    assert Phase.CANCELLED not in screen.phases

    model.scan(SHORT)
    screen.until(Phase.COMPLETE)


def test_cancel_after_the_death_of_the_server_is_not_shown_as_cancelled(
    model: ScanViewModel, screen: Screen, process: ProcessInfo
) -> None:
    model.scan(LONG)
    screen.until(Phase.SCANNING)
    kill(process)
    model.cancel()
    screen.until(Phase.SERVER_LOST)
    assert Phase.CANCELLED not in screen.phases


def test_missing_server_is_shown(
    make_model: MakeModel, screen: Screen, zmq_config: ZMQConfig
) -> None:
    model = make_model(partial(ExecutionClient, config=zmq_config))
    model.scan(SHORT)
    view = screen.until(Phase.SERVER_LOST)
    assert view.can_scan
