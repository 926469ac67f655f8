"""Servers, workers and clients as processes: who starts whom, and who ends with whom."""

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


def test_ten_clients_that_start_at_once_end_with_one_server(either_place: Place) -> None:
    clients = [either_place.client_process("launch_and_print_pid") for _ in range(10)]
    told = [client.output() for client in clients]
    assert [client.returncode for client in clients] == [0] * 10, told
    assert len(set(told)) == 1, told
    survivor = either_place.client()
    assert survivor.ping().process.pid == int(told[0])
    survivor.shutdown_server()


def test_a_persistent_server_outlives_its_client_and_keeps_its_work(place: Place) -> None:
    first = place.client_process("launch_and_leave")
    assert first.output() == ""
    again = place.client()
    record = again.wait_for_completion("left-behind", timeout=PATIENCE)
    assert record.result == "here it is"
    again.shutdown_server()


def test_an_owned_server_ends_when_its_client_disconnects(either_place: Place) -> None:
    client = either_place.client("Workshop")
    handle = submit(client, "hold_children")
    family = [server_of(client), worker_of(client), *children_of_task(await_phase(handle))]
    client.disconnect()
    assert has_ended(family[0])
    await_ends(*family)


@pytest.mark.parametrize("ended_by", ["kill", "terminate"])
def test_an_owned_server_ends_with_its_owner_however_that_ends(place: Place, ended_by: str) -> None:
    owner = place.client_process("launch_and_stay")
    assert owner.stdout is not None
    assert owner.stdout.readline().startswith("at work")
    observer = place.client()
    family = [server_of(observer), worker_of(observer)]
    getattr(owner, ended_by)()
    await_ends(*family)  # And those whom the task had started: the place looks for all.


@posix_only
def test_a_client_that_is_interrupted_while_it_launches_leaves_no_server(
    place: Place, tmp_path: Path
) -> None:
    place.leaves_socket_files = True  # The server is killed: nobody would know of it.
    begun = tmp_path / "begun"
    place.variables["SETUP_BEGUN"] = str(begun)
    client = place.client_process("launch_and_leave", "SlowSetup")
    eventually(begun.exists, "the worker is being set up")
    client.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in client.output()
    place.mark.assert_gone()


def test_connecting_waits_until_the_worker_is_set_up(place: Place, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    place.variables["SETUP_BEGUN"] = str(begun)
    with ThreadPoolExecutor() as pool:
        connected = pool.submit(place.client, "SlowSetup")
        eventually(begun.exists, "the worker is being set up")
        assert not connected.done()
        begun.with_suffix(".go").touch()
        client = connected.result(PATIENCE)
    assert client.ping().ready


def test_a_worker_that_cannot_be_set_up_is_told_with_its_traceback(either_place: Place) -> None:
    with pytest.raises(LaunchFailed) as caught:
        either_place.client("FailingSetup")
    message = str(caught.value)
    assert "Traceback" in message
    assert "FileNotFoundError: the model file is not there" in message
    assert "applications.py" in message
    assert caught.value.exit_code == 1


def test_a_worker_that_dies_of_its_set_up_is_told_with_its_exit_code(place: Place) -> None:
    with pytest.raises(LaunchFailed, match="exit code 23"):
        place.client("CrashingSetup")


def test_a_class_that_is_not_there_is_told(place: Place) -> None:
    with pytest.raises(LaunchFailed, match="no attribute 'Nobody'"):
        place.client("Nobody")


def test_after_a_launch_that_failed_another_works(place: Place) -> None:
    with pytest.raises(LaunchFailed):
        place.client("FailingSetup")
    assert place.client("Workshop").ping().ready


def test_without_a_launcher_nobody_is_started(either_place: Place) -> None:
    with pytest.raises(ConnectionFailed, match="no server listens"):
        either_place.unconnected().connect()


# -- two of them ----------------------------------------------------------------------------


def test_a_second_server_says_who_holds_the_port_and_the_first_serves_on(
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


def test_servers_on_two_ports_know_nothing_of_each_other(make_place: Callable[..., Place]) -> None:
    one, two = (make_place().client("Workshop") for _ in range(2))
    assert one.ping().process != two.ping().process
    one.disconnect()
    assert two.execute({"do": "echo", "value": 2}, timeout=PATIENCE) == 2


# -- a server that is lost --------------------------------------------------------------------


@posix_only
@pytest.mark.parametrize("do", ["sleep", "spin", "compute", "ignore_interrupts"])
def test_a_killed_server_takes_its_worker_with_it_whatever_that_does(place: Place, do: str) -> None:
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


def test_a_killed_server_takes_the_tasks_own_processes_with_it(either_place: Place) -> None:
    either_place.leaves_socket_files = True
    client = either_place.client("Workshop")
    children = children_of_task(await_phase(submit(client, "hold_children")))
    assert len(children) == 2
    server_of(client).kill()
    await_ends(*children)


def test_a_killed_server_is_told_as_lost_and_never_as_cancelled(either_place: Place) -> None:
    either_place.leaves_socket_files = True
    client = either_place.client("Workshop")
    handle = submit(client, "sleep")
    await_phase(handle)
    events = handle.progress()
    next(events)

    with ThreadPoolExecutor() as pool:
        questions: list[Callable[[], Any]] = [
            lambda: handle.result(PATIENCE),
            lambda: handle.wait(),
            lambda: list(events),
            lambda: client.get_record(handle.execution_id, 60.0),
        ]
        waiting = [pool.submit(ask) for ask in questions]
        server_of(client).kill()
        for waiter in waiting:
            error = waiter.exception(PATIENCE)
            assert isinstance(error, ServerLost), error
            if os.name != "nt":
                assert error.exit_code == -signal.SIGKILL
                assert "SIGKILL" in str(error)
    for ask in (handle.status, handle.cancel, client.ping, lambda: submit(client, "echo")):
        with pytest.raises(ServerLost):
            ask()


def test_a_client_that_only_attached_is_told_of_the_loss_too(place: Place) -> None:
    place.leaves_socket_files = True
    place.client("Workshop")
    attached = place.client()
    handle = submit(attached, "sleep")
    await_phase(handle)
    server_of(attached).kill()
    with pytest.raises(ServerLost) as caught:
        handle.result(PATIENCE)
    assert caught.value.exit_code is None


def test_who_waits_goes_on_with_the_server_that_replaces_a_killed_one(either_place: Place) -> None:
    either_place.leaves_socket_files = True
    client = either_place.client("FakeDurable")
    handle = submit(client, "sleep")
    await_phase(handle)
    events = handle.progress()
    next(events)
    with ThreadPoolExecutor() as pool:
        questions: list[Callable[[], Any]] = [
            lambda: handle.result(PATIENCE),
            handle.result,
            lambda: list(events),
        ]
        waiting = [pool.submit(ask) for ask in questions]
        server_of(client).kill()
        for waiter in waiting:
            # The one that was launched in its place has to tell that it knows of nothing.
            assert isinstance(waiter.exception(PATIENCE), UnknownExecution)
    assert client.execute({"do": "echo", "value": "again"}, timeout=PATIENCE) == "again"


def test_after_a_killed_server_another_is_launched_in_its_place(either_place: Place) -> None:
    lost = either_place.client("Workshop")
    server_of(lost).kill()
    with pytest.raises(ServerLost):
        lost.ping()
    lost.disconnect()
    client = either_place.client("Workshop")
    assert client.execute({"do": "echo", "value": "again"}, timeout=PATIENCE) == "again"


@posix_only
def test_a_server_that_is_merely_slow_is_not_taken_for_lost(place: Place, tmp_path: Path) -> None:
    client = place.client("Workshop", config=place.with_settings(retry_interval=0.1))
    server = server_of(client)
    handle = submit(client, "wait_for", path=str(tmp_path / "gate"))
    await_phase(handle)
    with ThreadPoolExecutor() as pool:
        server.suspend()
        result, pong = pool.submit(handle.result, PATIENCE), pool.submit(client.ping)
        (tmp_path / "gate").touch()
        with pytest.raises(TimeoutError):  # Several tries go out meanwhile.
            result.result(1.0)
        assert not pong.done()
        server.resume()
        assert result.result(PATIENCE) == "seen"
        assert pong.result(PATIENCE).ready


def test_who_disconnects_while_another_thread_waits_wakes_it_up(place: Place) -> None:
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
    """Starts a server as in a terminal, and checks how it ended."""
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
def test_a_signal_ends_an_idle_server_cleanly_however_often_it_is_sent(
    place: Place, foreground: Start, signum: signal.Signals, times: int
) -> None:
    server = foreground("Workshop")
    place.attach(server).disconnect()
    for _ in range(times):
        server.send_signal(signum)


@posix_only
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_what_runs_and_says_so_to_whoever_listens(
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
def test_a_second_signal_ends_what_does_not_listen_to_the_first(
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
def test_a_task_that_does_not_listen_has_its_grace_and_no_more(
    place: Place, foreground: Start
) -> None:
    server = foreground("ShortGrace")
    await_phase(submit(place.attach(server), "ignore_interrupts", children=2))
    server.terminate()
    server.wait(PATIENCE)


@posix_only
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_worker_is_being_set_up_is_heard(
    place: Place, foreground: Start, signum: signal.Signals, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    place.variables["SETUP_BEGUN"] = str(begun)
    server = foreground("SlowSetup")
    eventually(begun.exists, "the worker is being set up")
    server.send_signal(signum)


@posix_only
def test_ctrl_c_in_the_terminal_is_the_servers_to_decide(
    place: Place, foreground: Start, tmp_path: Path
) -> None:
    """Everybody in the foreground gets it; the task is interrupted as the server wants it."""
    server = foreground("LongGrace")
    handle = submit(place.attach(server), "clean_up", path=str(tmp_path / "tidy"))
    await_phase(handle)
    server.interrupt_group()
    server.wait(PATIENCE)
    assert (tmp_path / "tidy").read_text() == "cleaned up"


@posix_only
@pytest.mark.parametrize("moment", ["the server listens", "the worker process is there"])
def test_ctrl_c_in_the_terminal_while_everything_starts_is_clean(
    place: Place, foreground: Start, tmp_path: Path, moment: str
) -> None:
    place.variables["SETUP_BEGUN"] = str(tmp_path / "begun")
    server = foreground("SlowSetup")
    eventually(lambda: len(place.socket_files()) == 3, "the server listens")
    if moment == "the worker process is there":
        eventually(lambda: len(place.mark.find()) == 2, moment)
    server.interrupt_group()


@posix_only
def test_a_launched_server_hears_no_ctrl_c_of_its_clients_terminal(place: Place) -> None:
    first = place.client_process("launch_and_leave")
    first.output()
    client = place.client()
    process = server_of(client)
    assert os.getsid(process.pid) == process.pid
    assert os.getsid(process.pid) != os.getsid(0)
    assert os.getsid(worker_of(client).pid) not in (os.getsid(0), process.pid)
    client.shutdown_server()


# -- a server that a script defines ---------------------------------------------------------

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


def test_the_worker_of_a_script_imports_the_script(place: Place) -> None:
    server = run_script(place, '__name__ == "__main__"')
    client = place.attach(server)
    lost = submit(client, "die").wait(PATIENCE)
    assert lost.error is not None
    assert lost.error.kind is ErrorKind.WORKER_DIED
    assert client.execute({"do": "stitch"}, timeout=PATIENCE) == "Stitcher"  # By the next one.
    seen = (place.directory / "seen").read_text()
    assert seen == f"b''{[str(place.config.default_port), str(place.config.runtime_dir)]}"
    client.shutdown_server()
    assert server.output() == ""


def test_a_script_that_would_start_a_server_in_its_worker_is_told(place: Place) -> None:
    server = run_script(place, "True")
    output = server.output()
    assert server.returncode == 1
    assert 'must do so under `if __name__ == "__main__":`' in output
    assert "WorkerFailed" in output


# -- an end on request ----------------------------------------------------------------------


def test_a_drained_server_does_what_it_has_accepted_and_ends(place: Place) -> None:
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


def test_a_mark_finds_what_a_test_forgets() -> None:
    mark = ProcessMarker()
    assert mark.find() == []
    forgotten = psutil.Popen(
        [sys.executable, "-c", "import time; time.sleep(3600)"], env=os.environ | mark.environment
    )
    eventually(mark.find, "it is found")
    with pytest.raises(AssertionError, match=f"left behind: {forgotten.pid}"):
        mark.assert_gone(patience=0.1)
    forgotten.wait(PATIENCE)
