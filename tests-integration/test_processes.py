"""The start and the end of server, worker and client processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from places import ChildProcess, Place, await_phase
from process_marker import ProcessMarker
from waiting import PATIENCE, eventually

from zmqruntime.execution import ExecutionClient, ExecutionHandle, UnknownExecution
from zmqruntime.messages import ErrorKind, ExecutionStatus, ProgressEvent, StateEvent
from zmqruntime.transport import (
    ConnectionFailed,
    LaunchFailed,
    NotConnected,
    ServerLost,
)

posix_only = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def submit(client: ExecutionClient, do: str, **arguments: Any) -> ExecutionHandle:
    return client.submit_execution({"do": do, **arguments})


def server_of(client: ExecutionClient) -> psutil.Process:
    return psutil.Process(client.ping().process.pid)


def worker_of(client: ExecutionClient) -> psutil.Process:
    (worker,) = client.ping().workers
    return psutil.Process(worker.pid)


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def await_ends(*processes: psutil.Process) -> None:
    eventually(lambda: all(map(has_ended, processes)), f"{processes} have ended")


def children_of_task(event: ProgressEvent) -> list[psutil.Process]:
    assert event.data is not None
    return [psutil.Process(pid) for pid in event.data["pids"]]  # type: ignore[union-attr,arg-type]


# -- launching ------------------------------------------------------------------------------


def test_ten_clients_that_launch_concurrently_share_one_server(either_place: Place) -> None:
    clients = [either_place.client_process("launch_and_print_pid") for _ in range(10)]
    outputs = [client.output() for client in clients]
    assert [client.returncode for client in clients] == [0] * 10, outputs
    assert len(set(outputs)) == 1, outputs
    observer = either_place.client()
    assert observer.ping().process.pid == int(outputs[0])
    observer.shutdown_server()


def test_persistent_server_survives_its_client_and_keeps_its_executions(place: Place) -> None:
    first = place.client_process("launch_and_leave")
    assert first.output() == ""
    again = place.client()
    record = again.wait_for_completion("left-behind", timeout=PATIENCE)
    assert record.result == "here it is"
    again.shutdown_server()


def test_owned_server_ends_when_its_client_disconnects(either_place: Place) -> None:
    client = either_place.client("Workshop")
    handle = submit(client, "hold_children")
    family = [server_of(client), worker_of(client), *children_of_task(await_phase(handle))]
    client.disconnect()
    assert has_ended(family[0])
    await_ends(*family)


@pytest.mark.parametrize("ended_by", ["kill", "terminate"])
def test_owned_server_ends_with_the_process_of_its_owner(place: Place, ended_by: str) -> None:
    owner = place.client_process("launch_and_stay")
    assert owner.stdout is not None
    assert owner.stdout.readline().startswith("at work")
    observer = place.client()
    family = [server_of(observer), worker_of(observer)]
    getattr(owner, ended_by)()
    await_ends(*family)  # The place checks that the task's processes have ended as well.


@posix_only
def test_client_that_is_interrupted_during_a_launch_leaves_no_server(
    place: Place, tmp_path: Path
) -> None:
    place.leaves_socket_files = True  # The client kills the server.
    begun = tmp_path / "begun"
    place.variables["SETUP_BEGUN"] = str(begun)
    client = place.client_process("launch_and_leave", "SlowSetup")
    eventually(begun.exists, "the worker is being set up")
    client.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in client.output()
    place.mark.assert_gone()


def test_connect_waits_until_the_worker_is_set_up(place: Place, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    place.variables["SETUP_BEGUN"] = str(begun)
    with ThreadPoolExecutor() as pool:
        connected = pool.submit(place.client, "SlowSetup")
        eventually(begun.exists, "the worker is being set up")
        assert not connected.done()
        begun.with_suffix(".go").touch()
        client = connected.result(PATIENCE)
    assert client.ping().ready


def test_failed_worker_setup_is_reported_with_its_traceback(either_place: Place) -> None:
    with pytest.raises(LaunchFailed) as caught:
        either_place.client("FailingSetup")
    message = str(caught.value)
    assert "Traceback" in message
    assert "FileNotFoundError: the model file is not there" in message
    assert "applications.py" in message
    assert caught.value.exit_code == 1


def test_worker_that_exits_in_its_setup_is_reported_with_its_exit_code(place: Place) -> None:
    with pytest.raises(LaunchFailed, match="exit code 23"):
        place.client("CrashingSetup")


def test_missing_server_class_is_reported(place: Place) -> None:
    with pytest.raises(LaunchFailed, match="no attribute 'Missing'"):
        place.client("Missing")


def test_launch_works_after_a_failed_one(place: Place) -> None:
    with pytest.raises(LaunchFailed):
        place.client("FailingSetup")
    assert place.client("Workshop").ping().ready


def test_connect_without_a_launcher_starts_no_server(either_place: Place) -> None:
    with pytest.raises(ConnectionFailed, match="no server listens"):
        either_place.unconnected().connect()


# -- two servers ----------------------------------------------------------------------------


def test_second_server_fails_with_the_pid_of_the_first_which_serves_on(
    either_place: Place,
) -> None:
    first = either_place.serve()
    client = either_place.attach(first)
    second = either_place.serve()
    output = second.output()
    assert second.returncode == 1
    assert f"is held by process {first.pid}" in output
    assert "Traceback" not in output
    assert client.execute({"do": "echo", "value": 1}, timeout=PATIENCE) == 1
    assert len(either_place.socket_files()) == (3 if client.endpoint.transport_mode == "ipc" else 0)


def test_servers_on_two_ports_are_independent(make_place: Callable[..., Place]) -> None:
    one, two = (make_place().client("Workshop") for _ in range(2))
    assert one.ping().process != two.ping().process
    one.disconnect()
    assert two.execute({"do": "echo", "value": 2}, timeout=PATIENCE) == 2


# -- lost servers -----------------------------------------------------------------------------


@posix_only
@pytest.mark.parametrize("do", ["sleep", "spin", "compute", "ignore_interrupts"])
def test_worker_ends_with_its_killed_server(place: Place, do: str) -> None:
    place.leaves_socket_files = True
    client = place.client("Workshop")
    worker = worker_of(client)
    await_phase(submit(client, do))
    server_of(client).kill()
    await_ends(worker)


@posix_only
def test_worker_of_a_killed_server_ends_without_pidfd_open(place: Place, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; vars(os).pop('pidfd_open', None)\n")
    import_path = os.pathsep.join([str(tmp_path), place.environment["PYTHONPATH"]])
    place.variables["PYTHONPATH"] = import_path
    place.leaves_socket_files = True
    client = place.client("Workshop")
    worker = worker_of(client)
    await_phase(submit(client, "ignore_interrupts"))
    server_of(client).kill()
    await_ends(worker)


def test_child_processes_of_a_task_end_with_the_killed_server(either_place: Place) -> None:
    either_place.leaves_socket_files = True
    client = either_place.client("Workshop")
    children = children_of_task(await_phase(submit(client, "hold_children")))
    assert len(children) == 2
    server_of(client).kill()
    await_ends(*children)


def test_kill_of_the_server_raises_server_lost_in_all_calls(either_place: Place) -> None:
    either_place.leaves_socket_files = True
    client = either_place.client("Workshop")
    handle = submit(client, "sleep")
    await_phase(handle)
    events = handle.progress()
    next(events)

    with ThreadPoolExecutor() as pool:
        calls: list[Callable[[], Any]] = [
            lambda: handle.result(PATIENCE),
            lambda: handle.wait(),
            lambda: list(events),
            lambda: client.get_record(handle.execution_id, 60.0),
        ]
        waiting = [pool.submit(call) for call in calls]
        server_of(client).kill()
        for waiter in waiting:
            error = waiter.exception(PATIENCE)
            assert isinstance(error, ServerLost), error
            if os.name != "nt":
                assert error.exit_code == -signal.SIGKILL
                assert "SIGKILL" in str(error)
    for call in (handle.status, handle.cancel, client.ping, lambda: submit(client, "echo")):
        with pytest.raises(ServerLost):
            call()


def test_attached_client_gets_server_lost_without_an_exit_code(place: Place) -> None:
    place.leaves_socket_files = True
    place.client("Workshop")
    attached = place.client()
    handle = submit(attached, "sleep")
    await_phase(handle)
    server_of(attached).kill()
    with pytest.raises(ServerLost) as caught:
        handle.result(PATIENCE)
    assert caught.value.exit_code is None


def test_waits_go_on_with_the_server_that_replaces_a_killed_one(either_place: Place) -> None:
    either_place.leaves_socket_files = True
    client = either_place.client("FakeDurable")
    handle = submit(client, "sleep")
    await_phase(handle)
    events = handle.progress()
    next(events)
    with ThreadPoolExecutor() as pool:
        calls: list[Callable[[], Any]] = [
            lambda: handle.result(PATIENCE),
            handle.result,
            lambda: list(events),
        ]
        waiting = [pool.submit(call) for call in calls]
        server_of(client).kill()
        for waiter in waiting:
            # The new server does not know the execution.
            assert isinstance(waiter.exception(PATIENCE), UnknownExecution)
    assert client.execute({"do": "echo", "value": "again"}, timeout=PATIENCE) == "again"


def test_launch_after_a_killed_server_starts_another(either_place: Place) -> None:
    lost = either_place.client("Workshop")
    server_of(lost).kill()
    with pytest.raises(ServerLost):
        lost.ping()
    lost.disconnect()
    client = either_place.client("Workshop")
    assert client.execute({"do": "echo", "value": "again"}, timeout=PATIENCE) == "again"


@posix_only
def test_suspended_server_is_not_reported_as_lost(place: Place, tmp_path: Path) -> None:
    client = place.client("Workshop", config=place.with_settings(retry_interval=0.1))
    server = server_of(client)
    handle = submit(client, "wait_for", path=str(tmp_path / "gate"))
    await_phase(handle)
    with ThreadPoolExecutor() as pool:
        server.suspend()
        result, pong = pool.submit(handle.result, PATIENCE), pool.submit(client.ping)
        (tmp_path / "gate").touch()
        with pytest.raises(TimeoutError):  # Several retries are sent meanwhile.
            result.result(1.0)
        assert not pong.done()
        server.resume()
        assert result.result(PATIENCE) == "seen"
        assert pong.result(PATIENCE).ready


def test_disconnect_ends_a_wait_in_another_thread(place: Place) -> None:
    owner = place.client("Workshop")
    client = place.client()
    handle = submit(client, "sleep")
    await_phase(handle)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(handle.result, PATIENCE)
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        client.disconnect()
        assert isinstance(waiting.exception(PATIENCE), NotConnected)
    assert owner.get_record(handle.execution_id).status is ExecutionStatus.RUNNING


# -- signals --------------------------------------------------------------------------------


Start = Callable[[str], ChildProcess]


@pytest.fixture
def foreground(place: Place) -> Iterator[Start]:
    """Start servers as in a terminal, and check how they ended."""
    started: list[ChildProcess] = []

    def start(application: str) -> ChildProcess:
        started.append(place.serve(application))
        return started[-1]

    yield start
    for server in started:
        output = server.output()
        assert server.returncode == 0, output
        assert "Traceback" not in output
        assert place.socket_files() == []
        place.mark.assert_gone()


@posix_only
@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_repeated_signals_end_an_idle_server_cleanly(
    place: Place, foreground: Start, signum: signal.Signals, times: int
) -> None:
    server = foreground("Workshop")
    place.attach(server).disconnect()
    for _ in range(times):
        server.send_signal(signum)


@posix_only
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_interrupts_the_running_task_and_publishes_terminal_events(
    place: Place, foreground: Start, signum: signal.Signals, tmp_path: Path
) -> None:
    events: list[ProgressEvent | StateEvent] = []
    server = foreground("LongGrace")
    client = place.attach(server, progress_callback=events.append)
    running = submit(client, "clean_up", path=str(tmp_path / "tidy"))
    await_phase(running)
    queued = submit(client, "echo")
    server.send_signal(signum)
    server.wait(PATIENCE)

    assert (tmp_path / "tidy").read_text() == "cleaned up"
    last = {event.execution_id: event for event in events}
    of_running, of_queued = last[running.execution_id], last[queued.execution_id]
    assert isinstance(of_running, StateEvent)
    assert isinstance(of_queued, StateEvent)
    assert of_running.status is ExecutionStatus.FAILED
    assert of_running.error is not None
    assert of_running.error.kind is ErrorKind.INTERRUPTED
    assert of_queued.status is ExecutionStatus.CANCELLED
    with pytest.raises(ServerLost):
        running.result(PATIENCE)


@posix_only
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("do", ["ignore_interrupts", "hold_the_lock"])
def test_second_signal_kills_a_worker_that_ignores_the_first(
    place: Place, foreground: Start, signum: signal.Signals, do: str
) -> None:
    server = foreground("LongGrace")
    client = place.attach(server)
    handle = submit(client, do)
    await_phase(handle)
    server.send_signal(signum)
    eventually(lambda: not client.ping().ready, "the server has begun to end")
    assert server.poll() is None
    server.send_signal(signum)
    server.wait(PATIENCE)


@posix_only
def test_worker_that_ignores_the_interrupt_is_killed_after_the_grace_period(
    place: Place, foreground: Start
) -> None:
    server = foreground("ShortGrace")
    await_phase(submit(place.attach(server), "ignore_interrupts", children=2))
    server.terminate()
    server.wait(PATIENCE)


@posix_only
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_the_worker_setup_ends_the_server(
    place: Place, foreground: Start, signum: signal.Signals, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    place.variables["SETUP_BEGUN"] = str(begun)
    server = foreground("SlowSetup")
    eventually(begun.exists, "the worker is being set up")
    server.send_signal(signum)


@posix_only
def test_ctrl_c_in_the_terminal_interrupts_the_task_through_the_server(
    place: Place, foreground: Start, tmp_path: Path
) -> None:
    """The process group gets the signal; the worker ignores it until the server interrupts it."""
    server = foreground("LongGrace")
    handle = submit(place.attach(server), "clean_up", path=str(tmp_path / "tidy"))
    await_phase(handle)
    server.interrupt_group()
    server.wait(PATIENCE)
    assert (tmp_path / "tidy").read_text() == "cleaned up"


@posix_only
@pytest.mark.parametrize("moment", ["the server listens", "the worker process runs"])
def test_ctrl_c_in_the_terminal_during_the_start_ends_cleanly(
    place: Place, foreground: Start, tmp_path: Path, moment: str
) -> None:
    place.variables["SETUP_BEGUN"] = str(tmp_path / "begun")
    server = foreground("SlowSetup")
    eventually(lambda: len(place.socket_files()) == 3, "the server listens")
    if moment == "the worker process runs":
        eventually(lambda: len(place.mark.find()) == 2, moment)
    server.interrupt_group()


@posix_only
def test_launched_server_has_a_session_of_its_own_and_gets_no_ctrl_c(place: Place) -> None:
    first = place.client_process("launch_and_leave")
    first.output()
    client = place.client()
    process = server_of(client)
    assert os.getsid(process.pid) == process.pid
    assert os.getsid(process.pid) != os.getsid(0)
    assert os.getsid(worker_of(client).pid) not in (os.getsid(0), process.pid)
    client.shutdown_server()


# -- servers defined by a script ------------------------------------------------------------

SCRIPT = """
import os, sys
from pathlib import Path
from zmqruntime.execution import ExecutionServer
from zmqruntime.transport import ZMQConfig

class Stitcher(ExecutionServer):
    def execute_task(self, request, context):
        Path("seen").write_text("".join(map(str, (os.read(0, 1), sys.stdin.read(), sys.argv[1:]))))
        if request.task["do"] == "die":
            os._exit(3)
        return type(self).__qualname__

if {guard}:
    port, directory = sys.argv[1:]
    config = ZMQConfig(runtime_dir=Path(directory))
    with Stitcher(int(port), config=config) as server:
        server.serve_forever()
"""


def run_script(place: Place, guard: str) -> ChildProcess:
    script = place.directory / "stitch.py"
    script.write_text(SCRIPT.format(guard=guard))
    arguments = [str(place.config.default_port), str(place.config.runtime_dir)]
    return place.run([sys.executable, str(script), *arguments], cwd=place.directory)


def test_worker_of_a_script_imports_the_script(place: Place) -> None:
    server = run_script(place, '__name__ == "__main__"')
    client = place.attach(server)
    lost = submit(client, "die").wait(PATIENCE)
    assert lost.error is not None
    assert lost.error.kind is ErrorKind.WORKER_DIED
    assert client.execute({"do": "stitch"}, timeout=PATIENCE) == "Stitcher"  # In the next worker.
    seen = (place.directory / "seen").read_text()
    assert seen == f"b''{[str(place.config.default_port), str(place.config.runtime_dir)]}"
    client.shutdown_server()
    assert server.output() == ""


def test_script_without_a_main_guard_fails_with_a_hint(place: Place) -> None:
    server = run_script(place, "True")
    output = server.output()
    assert server.returncode == 1
    assert 'must do so under `if __name__ == "__main__":`' in output
    assert "WorkerFailed" in output


# -- shutdown -------------------------------------------------------------------------------


def test_draining_server_completes_accepted_executions_and_ends(place: Place) -> None:
    events: list[ProgressEvent | StateEvent] = []
    server = place.serve()
    client = place.attach(server, progress_callback=events.append)
    handles = [submit(client, "count", steps=10) for _ in range(20)]
    client.shutdown_server()
    output = server.output()
    assert server.returncode == 0, output
    complete = {
        event.execution_id
        for event in events
        if isinstance(event, StateEvent) and event.status is ExecutionStatus.COMPLETE
    }
    assert complete == {handle.execution_id for handle in handles}


def test_process_marker_finds_a_process_that_a_test_leaves() -> None:
    mark = ProcessMarker()
    assert mark.find() == []
    leftover = psutil.Popen(
        [sys.executable, "-c", "import time; time.sleep(3600)"], env=os.environ | mark.environment
    )
    eventually(mark.find, "the process is found")
    with pytest.raises(AssertionError, match=f"left behind: {leftover.pid}"):
        mark.assert_gone(patience=0.1)
    leftover.wait(PATIENCE)
