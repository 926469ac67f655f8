"""Log records of the worker process runner name execution, exit and reason."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from talking import Talker

from zmqruntime.execution import ExecutionClient
from zmqruntime.messages import ExecutionStatus
from zmqruntime.transport import ZMQConfig

PATIENCE = 60.0
PORT = 21_950

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.fixture
def config() -> Iterator[ZMQConfig]:
    with tempfile.TemporaryDirectory(prefix="zp-") as path:
        Path(path).chmod(0o700)
        yield ZMQConfig(runtime_dir=Path(path) / "r", log_dir=Path(path) / "l")


def exits(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if message.startswith("worker process ")]


@needs_posix
def test_exit_of_a_killed_worker_names_execution_and_grace_period(
    config: ZMQConfig, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    holds = tmp_path / "holds"
    caplog.set_level(logging.INFO, "zmqruntime.server")
    with (
        Talker(PORT, config=config, cancel_grace_seconds=0.2),
        ExecutionClient(PORT, config=config) as client,
    ):
        handle = client.submit_execution({"hold": str(holds)}, execution_id="stuck")
        worker = client.ping().workers[0]
        while not holds.exists():
            assert psutil.pid_exists(worker.pid)
        handle.cancel()
        assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED
    (record,) = exits(caplog)
    assert re.fullmatch(
        rf"worker process {worker.pid} exited while it ran execution stuck: signal SIGKILL, "
        r"killed at the end of the grace period, \d+\.\d s after an interrupt",
        record,
    )


@needs_posix
def test_exit_of_an_idle_worker_names_its_signal(
    config: ZMQConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zmqruntime.server")
    with Talker(PORT, config=config), ExecutionClient(PORT, config=config) as client:
        client.execute({"result": 1}, timeout=PATIENCE)
        worker = client.ping().workers[0]
        psutil.Process(worker.pid).kill()
        assert client.execute({"result": 2}, timeout=PATIENCE) == 2
    assert exits(caplog) == [f"worker process {worker.pid} exited: signal SIGKILL"]


def test_exit_of_a_task_names_execution_and_exit_code(
    config: ZMQConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "zmqruntime.server")
    with Talker(PORT, config=config), ExecutionClient(PORT, config=config) as client:
        client.submit_execution({"crash": True}, execution_id="crashing").wait(PATIENCE)
    (record,) = exits(caplog)
    assert record.endswith(" exited while it ran execution crashing: exit code 3")
