"""The ``zmqruntime`` command with real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from places import ChildProcess, Place, await_phase
from waiting import PATIENCE, eventually

from zmqruntime.execution import ExecutionClient, ExecutionHandle
from zmqruntime.messages import ExecutionStatus
from zmqruntime.transport import ServerLost, SubprocessLauncher

pytest.importorskip("typer")
COMMAND = shutil.which("zmqruntime", path=str(Path(sys.executable).parent)) or ""
pytestmark = pytest.mark.skipif(not COMMAND, reason="the command is not installed")

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

APPLICATION = """
from zmqruntime.execution import ExecutionServer

class Greeter(ExecutionServer):
    def execute_task(self, request, context):
        return "hello " + request.task["name"]
"""


Run = Callable[..., ChildProcess]


@pytest.fixture
def run(place: Place) -> Run:
    """Run the command with the options that name this place."""

    def run(name: str, *arguments: str, cwd: Path | None = None) -> ChildProcess:
        return place.run([COMMAND, name, *arguments, *place.options], cwd=cwd)

    return run


@pytest.fixture
def served(place: Place, run: Run) -> ExecutionClient:
    """A client of a server that was started by the command."""
    return place.attach(run("serve", "applications:Workshop", "--no-journal"))


def submit_blocking(client: ExecutionClient, path: Path) -> ExecutionHandle:
    handle = client.submit_execution({"do": "wait_for", "path": str(path)})
    await_phase(handle)
    return handle


def finish(process: ChildProcess) -> str:
    output = process.output()
    assert process.returncode == 0, output
    assert "Traceback" not in output
    return output


def fail(process: ChildProcess) -> str:
    """Return the error message, without the log lines before it."""
    *_, message = (output := process.output()).splitlines()
    assert process.returncode == 1, output
    assert "Traceback" not in output
    assert message.startswith("error: ")
    return message


def test_serve_imports_an_application_from_the_current_directory(
    place: Place, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "greeting.py").write_text(APPLICATION)
    server = run("serve", "greeting:Greeter", "--no-journal", cwd=tmp_path)
    client = place.attach(server)
    assert client.execute({"name": "world"}, timeout=PATIENCE) == "hello world"

    assert "has ended" in finish(run("stop"))
    assert "Greeter serves on" in finish(server)


def test_worker_does_not_import_the_command_line(served: ExecutionClient) -> None:
    names = ["zmqruntime.execution.cli", "typer", "rich", "zmqruntime.execution.cli.app"]
    imported = served.execute({"do": "imported", "names": names}, timeout=PATIENCE)
    assert imported in ([], ["zmqruntime.execution.cli"])  # By the script that starts the server.


def test_client_launches_its_server_by_the_command(place: Place) -> None:
    launcher = SubprocessLauncher(
        [COMMAND, "serve", "applications:Workshop", "--no-journal"],
        environment=place.environment,
        log_file_path=place.directory / "log",
    )
    client = place.unconnected(launcher=launcher, persistent=False)
    client.connect(PATIENCE)
    server = psutil.Process(client.ping().process.pid)
    assert client.execute({"do": "echo", "value": 1}, timeout=PATIENCE) == 1
    client.disconnect()
    assert not server.is_running()


def test_serve_prints_one_error_line_for_a_failed_worker_setup(run: Run) -> None:
    message = fail(run("serve", "applications:FailingSetup"))
    assert "FileNotFoundError: the model file is not there" in message


def test_serve_prints_one_error_line_with_the_process_that_holds_the_port(
    served: ExecutionClient, run: Run
) -> None:
    pid = served.ping().process.pid
    assert f"is held by process {pid}" in fail(run("serve", "applications:Workshop"))
    assert served.ping().process.pid == pid


def test_serve_prints_one_error_line_for_a_missing_module(run: Run) -> None:
    assert "No module named 'nowhere'" in fail(run("serve", "nowhere:Server"))


@posix_only
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_serve_cleanly(place: Place, run: Run, times: int) -> None:
    server = run("serve", "applications:Workshop")
    place.attach(server).disconnect()
    for _ in range(times):
        server.interrupt_group()
    finish(server)


@posix_only
def test_ctrl_c_during_the_import_of_the_application_prints_no_traceback(
    run: Run, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    (tmp_path / "slow.py").write_text(
        f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(3600)\n"
    )
    server = run("serve", "slow:Server", cwd=tmp_path)
    eventually(begun.exists, "the application is being imported")
    server.interrupt_group()
    assert "Traceback" not in server.output()
    assert server.returncode in (1, 130)


def test_ping_prints_the_state_of_the_server(
    served: ExecutionClient, run: Run, tmp_path: Path
) -> None:
    handle = submit_blocking(served, tmp_path / "gate")
    table = finish(run("ping")).split()
    for cells in (["ready", "yes"], ["pid", str(served.ping().process.pid)], ["running", "1"]):
        at = table.index(cells[0])
        assert table[at : at + 2] == cells
    assert handle.execution_id in table

    pong = json.loads(finish(run("ping", "--json")))
    assert [e["execution_id"] for e in pong["running_executions"]] == [handle.execution_id]
    (tmp_path / "gate").touch()
    handle.result(PATIENCE)


@pytest.mark.parametrize("name", ["ping", "stop"])
def test_command_without_a_server_prints_an_error(run: Run, name: str) -> None:
    assert "no server listens on" in fail(run(name))


def test_stop_waits_for_accepted_executions_and_the_server_process(
    served: ExecutionClient, run: Run, tmp_path: Path
) -> None:
    server = psutil.Process(served.ping().process.pid)
    submit_blocking(served, tmp_path / "gate")
    queued = served.submit_execution({"do": "wait_for", "path": str(tmp_path / "gate")})
    stop = run("stop")
    assert stop.stdout is not None
    assert "still has 2 to finish" in stop.stdout.readline()
    assert not served.ping().ready
    assert queued.status().status is ExecutionStatus.QUEUED

    (tmp_path / "gate").touch()
    assert f"(process {server.pid}) has ended" in finish(stop)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_stop_with_a_journal_waits_only_for_the_running_execution(
    place: Place, run: Run, tmp_path: Path
) -> None:
    client = place.attach(
        run("serve", "applications:Workshop", "--journal", str(tmp_path / "journal"))
    )
    submit_blocking(client, tmp_path / "gate")
    client.submit_execution({"do": "echo"})
    stop = run("stop")
    assert stop.stdout is not None
    assert "still has 1 to finish" in stop.stdout.readline()
    (tmp_path / "gate").touch()
    assert "has ended" in finish(stop)


def test_stop_now_interrupts_the_running_task_of_a_draining_server(
    served: ExecutionClient, run: Run, tmp_path: Path
) -> None:
    handle = submit_blocking(served, tmp_path / "never")
    assert "has not ended after 0.3 s" in fail(run("stop", "--timeout=0.3"))
    assert not served.ping().ready
    assert "has ended" in finish(run("stop", "--now"))
    with pytest.raises(ServerLost):
        handle.status()


@posix_only
def test_ctrl_c_ends_the_wait_of_stop_but_not_the_server(
    served: ExecutionClient, run: Run, tmp_path: Path
) -> None:
    submit_blocking(served, tmp_path / "gate")
    stop = run("stop")
    assert stop.stdout is not None
    assert "Ctrl-C ends this wait" in stop.stdout.readline()
    stop.send_signal(signal.SIGINT)
    assert "Traceback" not in stop.output()
    assert stop.returncode in (1, 130)
    assert served.ping().running_count == 1
    (tmp_path / "gate").touch()
