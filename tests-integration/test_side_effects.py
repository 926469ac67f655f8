"""Side effects of a task on its worker process affect neither the next task nor its cancel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from places import Place, await_phase
from waiting import PATIENCE, eventually

from zmqruntime.execution import ExecutionClient, ExecutionServerLauncher
from zmqruntime.messages import ErrorKind, ExecutionStatus

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.fixture
def client(place: Place) -> ExecutionClient:
    launcher = ExecutionServerLauncher("side_effects:SideEffects", environment=place.environment)
    return place.client(launcher=launcher, persistent=False)


def worker_of(client: ExecutionClient) -> int:
    (worker,) = client.ping().workers
    return worker.pid


INTERRUPTS = ["handle_interrupts_in_asyncio", "ignore_sigint", "block_interrupts"]


@pytest.mark.parametrize("before", INTERRUPTS)
def test_cancel_interrupts_a_task_after_another_changed_the_signal(
    client: ExecutionClient, tmp_path: Path, before: str
) -> None:
    client.execute({"do": before}, timeout=PATIENCE)
    worker = worker_of(client)
    cleaned = tmp_path / "cleaned"
    handle = client.submit_execution({"do": "clean_up", "path": str(cleaned)})
    await_phase(handle)
    handle.cancel()
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED
    assert cleaned.exists()  # The task's `finally` block ran to its end.
    assert worker_of(client) == worker


@pytest.mark.parametrize("before", INTERRUPTS)
def test_timeout_is_reported_after_another_task_changed_the_signal(
    client: ExecutionClient, before: str
) -> None:
    client.execute({"do": before}, timeout=PATIENCE)
    record = client.submit_execution({"do": "sleep"}, timeout_seconds=0.2).wait(PATIENCE)
    assert record.error is not None
    assert record.error.kind is ErrorKind.TIMEOUT


def test_execution_whose_task_handles_the_signal_is_cancelled(
    client: ExecutionClient,
) -> None:
    handle = client.submit_execution({"do": "handle_interrupt"})
    await_phase(handle)
    handle.cancel()
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED


@pytest.mark.parametrize("before", ["close_its_output", "leave_a_removed_directory"])
def test_next_task_has_its_output_and_directory(client: ExecutionClient, before: str) -> None:
    first = client.execute({"do": "describe_process"}, timeout=PATIENCE)
    client.execute({"do": before}, timeout=PATIENCE)
    client.execute({"do": "change_the_environment"}, timeout=PATIENCE)
    handle = client.submit_execution({"do": "describe_process"})
    assert handle.result(PATIENCE) == first
    assert handle.log_tail() == "printed\n"


def test_cancel_during_an_import_leaves_a_usable_module(
    client: ExecutionClient, tmp_path: Path
) -> None:
    """As numpy's core, the module cannot be imported a second time in one process."""
    go = tmp_path / "go"
    (tmp_path / "once_only.py").write_text(
        "import sys, time, pathlib\n"
        "if hasattr(sys, 'once_only_was_here'):\n"
        "    raise ImportError('cannot load module more than once per process')\n"
        "sys.once_only_was_here = True\n"
        f"pathlib.Path({str(tmp_path / 'inside')!r}).touch()\n"
        f"while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\n"
    )
    task = {"do": "import", "directory": str(tmp_path), "name": "once_only"}
    handle = client.submit_execution(task)
    eventually((tmp_path / "inside").exists, "the import has begun")
    worker = worker_of(client)
    handle.cancel()
    go.touch()
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED
    assert client.execute(task, timeout=PATIENCE) == "imported"
    assert worker_of(client) == worker


def test_cancel_interrupts_an_endless_import_before_the_worker_is_killed(
    client: ExecutionClient, tmp_path: Path
) -> None:
    (tmp_path / "endless.py").write_text(
        "import time, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'inside')!r}).touch()\n"
        "while True: time.sleep(0.01)\n"
    )
    task = {"do": "import", "directory": str(tmp_path), "name": "endless"}
    handle = client.submit_execution(task)
    eventually((tmp_path / "inside").exists, "the import has begun")
    worker = worker_of(client)
    handle.cancel()
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED
    assert worker_of(client) == worker
