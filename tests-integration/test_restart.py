"""Restarts of a server with a journal: no accepted execution is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from places import ChildProcess, Place, await_phase
from waiting import PATIENCE

from zmqruntime.execution import BatchSubmitWaitEngine, ExecutionClient, JournalUnavailable
from zmqruntime.messages import ErrorKind, ExecutionStatus, PingRequest, PongReply, ShutdownMode

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus


@pytest.fixture
def serve(place: Place, tmp_path: Path) -> Callable[..., tuple[ChildProcess, ExecutionClient]]:
    """Start a server; all have one journal, one after the other."""

    def serve(application: str = "Workshop") -> tuple[ChildProcess, ExecutionClient]:
        server = place.serve(application, "--journal", str(tmp_path / "journal"))
        return server, place.attach(server)

    place.leaves_socket_files = True
    return serve


def kill(server: ChildProcess) -> None:
    server.kill()
    server.wait(PATIENCE)


def test_accepted_executions_survive_a_killed_server(
    serve: Callable[..., tuple[ChildProcess, ExecutionClient]], tmp_path: Path
) -> None:
    server, client = serve()
    done = client.submit_execution({"do": "echo", "value": [1, "ü"]})
    assert done.result(PATIENCE) == [1, "ü"]
    interrupted = client.submit_execution({"do": "sleep"})
    await_phase(interrupted)
    waiting = [client.submit_execution({"do": "echo", "value": n}) for n in range(3)]
    kill(server)

    server, client = serve()
    assert client.get_record(done.execution_id).result == [1, "ü"]
    record = client.wait_for_completion(interrupted.execution_id, timeout=PATIENCE)
    assert record.status is FAILED
    assert record.error is not None
    assert record.error.kind is ErrorKind.INTERRUPTED
    records = [client.wait_for_completion(w.execution_id, timeout=PATIENCE) for w in waiting]
    assert [record.result for record in records] == [0, 1, 2]
    started = [record.started_at or 0.0 for record in records]
    assert started == sorted(started)
    client.shutdown_server()
    assert server.wait(PATIENCE) == 0


def test_batch_goes_on_with_the_next_server(
    serve: Callable[..., tuple[ChildProcess, ExecutionClient]],
) -> None:
    server, client = serve()
    numbers = range(400)

    def tasks() -> Iterator[dict[str, object]]:
        for n in numbers:
            if n == 250:
                kill(server)
                serve()
            yield {"do": "echo", "value": n}

    results = BatchSubmitWaitEngine(client, max_outstanding=50).run(tasks())
    assert len(results.records) == 400
    interrupted = 0
    for n, record in zip(numbers, results.records, strict=True):
        if record.status is FAILED:
            # The kill came between the end of its task and the commit.
            assert record.error is not None
            assert record.error.kind is ErrorKind.INTERRUPTED
            interrupted += 1
        else:
            assert record.result == n
    assert interrupted < 50


def test_interrupted_execution_is_requeued_if_the_server_does_so(
    serve: Callable[..., tuple[ChildProcess, ExecutionClient]], tmp_path: Path
) -> None:
    server, client = serve("Requeueing")
    gate = tmp_path / "gate"
    interrupted = client.submit_execution({"do": "wait_for", "path": str(gate)})
    await_phase(interrupted)
    kill(server)
    gate.touch()

    server, client = serve("Requeueing")
    record = client.wait_for_completion(interrupted.execution_id, timeout=PATIENCE)
    assert (record.status, record.attempt) == (COMPLETE, 2)
    assert [attempt.error.kind for attempt in record.attempts] == [ErrorKind.INTERRUPTED]
    client.shutdown_server()
    assert server.wait(PATIENCE) == 0


def test_worker_that_holds_the_gil_is_killed_before_the_next_server_runs(
    serve: Callable[..., tuple[ChildProcess, ExecutionClient]], tmp_path: Path
) -> None:
    server, client = serve("Requeueing")
    (described,) = client.ping().workers
    worker = psutil.Process(described.pid)
    interrupted = client.submit_execution({"do": "hold_the_lock"})
    await_phase(interrupted)
    kill(server)
    assert worker.is_running()

    server, client = serve("Requeueing")
    await_phase(client.attach(interrupted.execution_id))
    assert not (worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE)
    client.shutdown_server(ShutdownMode.NOW)
    assert server.wait(PATIENCE) == 0
    assert not (tmp_path / "journal.worker").exists()


def test_output_of_a_task_before_the_kill_of_its_server_is_in_its_log_file(
    place: Place, tmp_path: Path
) -> None:
    place.leaves_socket_files = True
    options = ("--journal", str(tmp_path / "journal"), "--log-dir", str(tmp_path / "logs"))
    server = place.serve("Workshop", *options)
    interrupted = place.attach(server).submit_execution({"do": "print", "text": "97 percent"})
    await_phase(interrupted)
    kill(server)

    server = place.serve("Workshop", *options)
    client = place.attach(server)
    record = client.wait_for_completion(interrupted.execution_id, timeout=PATIENCE)
    assert record.status is FAILED
    assert record.log_file_path is not None
    assert Path(record.log_file_path).read_text() == "97 percent\n"
    assert client.read_log_tail(interrupted.execution_id).text == "97 percent\n"
    client.shutdown_server()
    assert server.wait(PATIENCE) == 0


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("how", ["stop", "stop now", "SIGTERM"])
def test_queue_survives_a_stop_of_the_server(
    serve: Callable[..., tuple[ChildProcess, ExecutionClient]], tmp_path: Path, how: str
) -> None:
    server, client = serve()
    gate = tmp_path / "gate"
    running = client.submit_execution({"do": "wait_for", "path": str(gate)})
    await_phase(running)
    waiting = client.submit_execution({"do": "echo", "value": "later"})
    match how:
        case "stop":
            client.shutdown_server(ShutdownMode.DRAIN)
        case "stop now":
            client.shutdown_server(ShutdownMode.NOW)
        case "SIGTERM":
            server.send_signal(signal.SIGTERM)
    gate.touch()
    assert server.wait(PATIENCE) == 0

    server, client = serve()
    record = client.wait_for_completion(waiting.execution_id, timeout=PATIENCE)
    assert record.result == "later"
    client.shutdown_server()
    assert server.wait(PATIENCE) == 0


def test_second_server_on_one_journal_fails_with_the_pid_of_the_first(
    serve: Callable[..., tuple[ChildProcess, ExecutionClient]],
    make_place: Callable[..., Place],
    tmp_path: Path,
) -> None:
    first, client = serve()
    elsewhere = make_place()
    second = elsewhere.serve("Workshop", "--journal", str(tmp_path / "journal"))
    assert f"is in use by process {first.pid}: stop that server first" in second.output()
    assert second.returncode == 1
    assert client.execute({"do": "echo", "value": 1}, timeout=PATIENCE) == 1


def test_priorities_and_attempts_work_with_a_journal(
    serve: Callable[..., tuple[ChildProcess, ExecutionClient]], tmp_path: Path
) -> None:
    _, client = serve()
    gate = tmp_path / "gate"
    running = client.submit_execution({"do": "wait_for", "path": str(gate)})
    await_phase(running)
    failing = client.submit_execution(
        {"do": "fail", "message": "no"},
        max_attempts=3,
        backoff_seconds=0.01,
        retry_on=["exception"],
    )
    last = client.submit_execution({"do": "echo"})
    first = client.submit_execution({"do": "echo"}, priority=1)
    assert [h.status().queue_position for h in (first, failing, last)] == [1, 2, 3]
    gate.touch()
    record = client.wait_for_completion(failing.execution_id, timeout=PATIENCE)
    assert (record.status, record.attempt, len(record.attempts)) == (FAILED, 3, 2)


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be moved on Windows")
@pytest.mark.parametrize("part", ["journal", "journal-wal", "journal.started"])
def test_journal_rejects_submissions_while_one_of_its_files_is_missing(
    serve: Callable[..., tuple[ChildProcess, ExecutionClient]], tmp_path: Path, part: str
) -> None:
    server, client = serve()
    assert client.execute({"do": "echo", "value": 1}, timeout=PATIENCE) == 1
    (tmp_path / part).rename(tmp_path / "moved")
    with pytest.raises(JournalUnavailable, match="cannot be written, and its log has the reason"):
        # A long task: one that ends before the commit would be accepted.
        client.submit_execution({"do": "sleep"}, execution_id="rejected")
    assert not client.ping().ready
    with ThreadPoolExecutor() as pool:
        held = pool.submit(client.request, PingRequest(wait_seconds=PATIENCE), hold=PATIENCE)
        (tmp_path / "moved").rename(tmp_path / part)
        pong = held.result(PATIENCE)
        assert isinstance(pong, PongReply)
        assert pong.ready
    handle = client.submit_execution({"do": "echo", "value": 2}, execution_id="rejected")
    assert handle.result(PATIENCE) == 2
    client.shutdown_server()
    assert server.wait(PATIENCE) == 0
    assert f"{part} is missing" in server.output()


def test_serve_durable_creates_a_journal_per_server(place: Place, tmp_path: Path) -> None:
    pytest.importorskip("typer")
    place.variables["XDG_DATA_HOME"] = place.variables["HOME"] = str(tmp_path)
    place.variables["LOCALAPPDATA"] = str(tmp_path)
    script = "import sys; from zmqruntime.execution.cli import main; sys.exit(main())"
    command = ("serve", "applications:Workshop", "--durable")
    server = place.start("-c", script, *command, *place.options)
    client = place.attach(server)
    assert client.execute({"do": "echo", "value": 1}, timeout=PATIENCE) == 1
    client.shutdown_server()
    assert server.wait(PATIENCE) == 0
    (journal,) = tmp_path.rglob("*.journal")
    assert journal.name == f"applications.Workshop-{place.config.default_port}.journal"
    database = sqlite3.connect(journal)
    ((result,),) = database.execute("SELECT result FROM contents").fetchall()
    database.close()
    assert json.loads(result) == 1
