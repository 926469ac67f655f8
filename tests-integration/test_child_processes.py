"""Child processes of an execution end with it, and other processes do not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest
from child_processes import is_in_shared_memory
from places import Place, await_phase
from waiting import PATIENCE, eventually

from zmqruntime.execution import ExecutionClient, ExecutionHandle, ExecutionServerLauncher
from zmqruntime.messages import ExecutionStatus

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX processes")


@pytest.fixture
def client(place: Place) -> ExecutionClient:
    launcher = ExecutionServerLauncher(
        "child_processes:SpawningServer", environment=place.environment
    )
    return place.client(launcher=launcher, persistent=False)


def worker_of(client: ExecutionClient) -> int:
    (worker,) = client.ping().workers
    return worker.pid


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_of(handle: ExecutionHandle) -> list[int]:
    data = await_phase(handle).data
    assert isinstance(data, dict)
    return list(data["pids"])  # type: ignore[arg-type]


KINDS = ["plain", "ignoring_sigterm", "shell", "daemon", "nested", "forked"]


@pytest.mark.parametrize("kind", KINDS)
def test_processes_end_with_a_cancelled_execution_and_the_worker_stays(
    client: ExecutionClient, kind: str
) -> None:
    worker = worker_of(client)
    handle = client.submit_execution({"do": "children", "kind": kind})
    pids = pids_of(handle)
    assert all(map(runs, pids))
    handle.cancel()
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED
    assert not any(map(runs, pids))
    assert worker_of(client) == worker


def test_processes_of_an_execution_end_at_its_time_limit(client: ExecutionClient) -> None:
    handle = client.submit_execution({"do": "children", "kind": "shell"}, timeout_seconds=1)
    pids = pids_of(handle)
    assert handle.wait(PATIENCE).status is ExecutionStatus.FAILED
    assert not any(map(runs, pids))


@pytest.mark.parametrize("kind", KINDS)
def test_processes_end_with_a_failed_execution(client: ExecutionClient, kind: str) -> None:
    handle = client.submit_execution({"do": "children", "kind": kind, "end": "fail"})
    record = handle.wait(PATIENCE)
    assert record.progress is not None
    assert isinstance(record.progress.data, dict)
    assert not any(map(runs, record.progress.data["pids"]))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_processes_end_with_a_crashed_worker(client: ExecutionClient, kind: str) -> None:
    handle = client.submit_execution({"do": "children", "kind": kind, "end": "crash"})
    record = handle.wait(PATIENCE)
    assert record.progress is not None
    data = record.progress.data
    assert isinstance(data, dict)
    eventually(lambda: not any(map(runs, data["pids"])), "the processes of the worker have ended")  # type: ignore[arg-type]


def test_process_of_an_earlier_execution_survives(client: ExecutionClient) -> None:
    earlier = client.execute({"do": "leave_child"}, timeout=PATIENCE)
    handle = client.submit_execution({"do": "children", "kind": "plain"})
    pids = pids_of(handle)
    handle.cancel()
    handle.wait(PATIENCE)
    assert not any(map(runs, pids))
    assert isinstance(earlier, int)
    assert runs(earlier)


def test_process_that_a_helper_of_setup_worker_starts_survives(
    client: ExecutionClient,
) -> None:
    handle = client.submit_execution({"do": "children", "kind": "by_helper"})
    (pid,) = pids_of(handle)
    handle.cancel()
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED
    assert runs(pid)


@pytest.mark.parametrize("kind", ["plain", "forked"])
def test_processes_end_with_their_execution_on_a_server_inside_another_execution(
    place: Place, kind: str
) -> None:
    environment = place.environment | {"ZMQRUNTIME_RUN": "/3"}
    launcher = ExecutionServerLauncher("child_processes:SpawningServer", environment=environment)
    client = place.client(launcher=launcher, persistent=False)
    test_processes_end_with_a_cancelled_execution_and_the_worker_stays(client, kind)


def test_process_passed_to_keep_survives_its_execution(client: ExecutionClient) -> None:
    handle = client.submit_execution({"do": "children", "kind": "kept"})
    (pid,) = pids_of(handle)
    handle.cancel()
    handle.wait(PATIENCE)
    assert runs(pid)
    client.disconnect()
    eventually(lambda: not runs(pid), "the process ends with its worker")


def test_program_of_context_run_ends_with_a_cancel(client: ExecutionClient, tmp_path: Path) -> None:
    written = tmp_path / "pid"
    handle = client.submit_execution({"do": "program", "path": str(written)})
    eventually(lambda: written.exists() and written.read_text(), "the program runs")
    pid = int(written.read_text())
    handle.cancel()
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED
    assert not runs(pid)


def test_output_of_a_program_is_in_the_log(client: ExecutionClient) -> None:
    handle = client.submit_execution({"do": "print_by_program", "text": "from the program"})
    assert handle.result(PATIENCE) == 0
    assert handle.log_tail() == "from the program\n"


@pytest.mark.parametrize(
    ("way", "code", "printed"),
    [("returns", 0, ""), ("exits", 7, ""), ("raises", 1, "KeyError: 'in the child'\n")],
)
def test_forked_child_ends_as_a_plain_python_program(
    client: ExecutionClient, way: str, code: int, printed: str
) -> None:
    worker = worker_of(client)
    handle = client.submit_execution({"do": "fork", "way": way})
    assert handle.result(PATIENCE) == code
    log = handle.log_tail()
    assert log.startswith(f"before\nchild {way}\n")
    assert log.endswith(printed)
    assert client.execute({"do": "echo", "value": 1}, timeout=PATIENCE) == 1
    assert worker_of(client) == worker


def test_forked_children_of_setup_worker_and_serialize_result_end_as_plain_programs(
    place: Place,
) -> None:
    launcher = ExecutionServerLauncher(
        "child_processes:ForkingServer", environment=place.environment
    )
    client = place.client(launcher=launcher, persistent=False)
    worker = worker_of(client)
    assert client.execute({"do": "fork_codes"}, timeout=PATIENCE) == [[0, 0, 1], 0]
    assert worker_of(client) == worker


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /dev/shm")
@pytest.mark.parametrize("end", ["return", "crash", "kill"])
def test_shared_memory_is_removed_when_the_worker_has_ended(
    client: ExecutionClient, end: str
) -> None:
    handle = client.submit_execution({"do": "shared_memory", "end": end})
    if end == "return":
        name = handle.result(PATIENCE)
        client.disconnect()  # The server ends, and its worker quits.
    else:
        if end == "kill":
            await_phase(handle)
            handle.cancel()
        record = handle.wait(PATIENCE)
        assert record.progress is not None
        assert isinstance(record.progress.data, dict)
        name = record.progress.data["name"]
    assert isinstance(name, str)
    eventually(lambda: not is_in_shared_memory(name), "the tracker has removed it")
