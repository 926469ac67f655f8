"""Each task has a bounded log of its output, which is removed with its record."""

from __future__ import annotations

import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from talking import Chatty, Configured, Talker

from zmqruntime.execution import ExecutionClient, ExecutionFailed, ExecutionHandle, UnknownExecution
from zmqruntime.execution.worker.task_logs import TaskLogFiles, TaskLogs, log_directory, trim
from zmqruntime.messages import ExecutionStatus
from zmqruntime.transport import Endpoint, TransportMode, ZMQConfig

PATIENCE = 60.0


@pytest.fixture
def config() -> Iterator[ZMQConfig]:
    with tempfile.TemporaryDirectory(prefix="zl-", dir="/tmp" if os.name != "nt" else None) as path:
        Path(path).chmod(0o700)
        yield ZMQConfig(runtime_dir=Path(path, "run"), log_dir=Path(path, "log"))


Serve = Callable[..., ExecutionClient]


@pytest.fixture
def serve(config: ZMQConfig) -> Iterator[Serve]:
    """Start a server and return a client of it."""
    open_ones: list[Any] = []

    def start(server_class: type[Talker] = Talker, **options: Any) -> ExecutionClient:
        server = server_class(21_300, config=config, **options)
        server.start()
        open_ones.append(server.stop)
        client = ExecutionClient(21_300, config=config)
        client.connect(PATIENCE)
        open_ones.append(client.disconnect)
        return client

    yield start
    for close in reversed(open_ones):
        close()


def files_of(config: ZMQConfig) -> list[Path]:
    assert config.log_dir is not None
    return sorted(path for path in config.log_dir.rglob("*") if path.is_file())


def path_of(handle: ExecutionHandle) -> Path:
    path = handle.status().log_file_path
    assert path is not None
    return Path(path)


def test_output_of_python_native_code_and_child_processes_is_in_the_log(serve: Serve) -> None:
    client = serve()
    handle = client.submit_execution({"say": "hello"}, execution_id="Hello.1")
    handle.wait(PATIENCE)
    assert handle.log_tail().splitlines() == ["hello", "native hello", "child hello"]
    path = path_of(handle)
    assert path.name.startswith("task-Hello.1-")
    assert path.read_text() == handle.log_tail()
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("server_class", [Talker, Chatty])
def test_records_that_a_task_logs_are_in_its_log(serve: Serve, server_class: type[Talker]) -> None:
    client = serve(server_class)
    first = client.submit_execution({"log": "one\nline two\x1b[2J"})
    second = client.submit_execution({"log": "next"})
    second.wait(PATIENCE)
    time_of = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    one = r"one\n    line two\\x1b\[2J\n"
    assert re.fullmatch(
        rf"{time_of} INFO talking: {one}"
        rf"{time_of} INFO root: root {one}"
        rf"{time_of} WARNING talking: {one}"
        rf"{time_of} WARNING root: root {one}"
        rf"{time_of} WARNING zmqruntime.client: ours {one}"
        rf"{time_of} ERROR talking: failed\n(    .*\n)+    ValueError: {one}",
        first.log_tail(),
    )
    assert "INFO talking: next\n" in second.log_tail()
    assert "one" not in second.log_tail()


def test_logging_configured_by_the_application_is_unchanged(serve: Serve) -> None:
    client = serve(Configured)
    handle = client.submit_execution({"log": "words"})
    handle.wait(PATIENCE)
    lines = handle.log_tail().splitlines()
    assert lines[:3] == ["own WARNING words", "own WARNING root words", "own WARNING ours words"]
    assert lines[3] == "own ERROR failed"


def test_records_go_to_a_redirected_standard_error(serve: Serve) -> None:
    client = serve()
    handle = client.submit_execution({"log elsewhere": "words"})
    result = handle.result(PATIENCE)
    assert isinstance(result, str)
    assert result.endswith(" INFO talking: words\n")
    assert handle.log_tail() == ""


def test_cancelled_task_without_output_has_no_log(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    handle = client.submit_execution({"gate": str(tmp_path / "never")})
    next(event for event in handle.progress() if getattr(event, "phase", None) == "waits")
    handle.cancel()
    assert handle.wait(PATIENCE).status is ExecutionStatus.CANCELLED
    assert handle.log_tail() == ""


def test_each_execution_with_output_has_a_log_of_its_own(serve: Serve, config: ZMQConfig) -> None:
    client = serve()
    loud = client.submit_execution({"say": "one"})
    silent = client.submit_execution({"result": 1})
    again = client.submit_execution({"say": "two"})
    again.wait(PATIENCE)
    assert "two" not in loud.log_tail()
    assert "one" not in again.log_tail()
    assert silent.log_tail() == ""
    kept = [path for path in files_of(config) if path.suffix == ".log"]
    assert sorted(kept) == sorted([path_of(loud), path_of(again)])


def test_log_of_a_running_task_can_be_read(serve: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    client = serve()
    handle = client.submit_execution({"say": "so far", "gate": str(gate)})
    next(event for event in handle.progress() if getattr(event, "phase", None) == "waits")
    assert handle.log_tail().startswith("so far\n")
    gate.touch()
    handle.wait(PATIENCE)
    assert handle.log_tail().startswith("so far\n")


def test_queued_execution_has_no_log(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    gate = tmp_path / "gate"
    client.submit_execution({"gate": str(gate)})
    waits = client.submit_execution({"say": "later"})
    assert waits.log_tail() == ""
    assert waits.status().log_file_path is None
    gate.touch()
    waits.wait(PATIENCE)


def test_last_output_of_a_crashed_worker_is_kept(serve: Serve) -> None:
    client = serve()
    handle = client.submit_execution({"say": "hello", "crash": True})
    with pytest.raises(ExecutionFailed, match="worker_died"):
        handle.result(PATIENCE)
    assert handle.log_tail().endswith("child hello\nlast words")
    after = client.submit_execution({"say": "after"})
    after.wait(PATIENCE)
    assert after.log_tail().startswith("after\n")


def test_log_is_bounded_and_keeps_the_newest_lines(serve: Serve) -> None:
    client = serve(max_log_bytes=8192)
    handle = client.submit_execution({"lines": 5000})
    handle.wait(PATIENCE)
    reply = client.read_log_tail(handle.execution_id, 65_536)
    assert reply.size_bytes <= 8192
    lines = reply.text.splitlines()
    assert lines[0].endswith("bytes before this are not kept)")
    assert lines[1].startswith("line ")
    assert lines[-1].endswith(" 4999")
    assert handle.log_tail(20) == reply.text[-20:]


def test_log_of_a_running_task_is_trimmed(serve: Serve, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    client = serve(max_log_bytes=8192)
    handle = client.submit_execution({"lines": 5000, "gate": str(gate)})
    deadline = time.monotonic() + PATIENCE
    size = -1
    while not 0 < size <= 8192:
        assert time.monotonic() < deadline, size
        time.sleep(0.05)
        if (progress := handle.status().progress) is not None and progress.phase == "waits":
            size = client.read_log_tail(handle.execution_id).size_bytes
    gate.touch()
    handle.wait(PATIENCE)
    assert handle.log_tail().endswith(" 4999\n")


def test_log_is_removed_with_its_record(serve: Serve) -> None:
    client = serve(history_limit=1)
    first = client.submit_execution({"say": "one"})
    first.wait(PATIENCE)
    path = path_of(first)
    assert path.exists()
    client.submit_execution({"say": "two"}).wait(PATIENCE)
    with pytest.raises(UnknownExecution):
        first.log_tail()
    assert not path.exists()


def test_logs_are_removed_with_a_server_without_a_journal(serve: Serve, config: ZMQConfig) -> None:
    client = serve()
    client.submit_execution({"say": "one"}).wait(PATIENCE)
    assert files_of(config)
    client.shutdown_server()
    assert client.wait_for_server_end(0) in (True, False)
    deadline = time.monotonic() + PATIENCE
    while files_of(config):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_failure_to_keep_a_log_fails_no_other_execution(serve: Serve) -> None:
    client = serve()
    client.submit_execution({"say": "first"}).wait(PATIENCE)
    directory = path_of(client.submit_execution({"say": "second"}, execution_id="x")).parent
    in_the_way = TaskLogFiles(directory, 1).path_of("y")
    in_the_way.mkdir()
    crashed = client.submit_execution({"say": "hello", "crash": True}, execution_id="y")
    assert crashed.wait(PATIENCE).status is ExecutionStatus.FAILED
    assert client.execute({"result": 1}) == 1
    in_the_way.rmdir()


def test_server_without_log_capture_has_no_logs(serve: Serve, config: ZMQConfig) -> None:
    client = serve(max_log_bytes=0)
    handle = client.submit_execution({"result": 1})
    handle.wait(PATIENCE)
    assert handle.log_tail() == ""
    assert handle.status().log_file_path is None
    assert files_of(config) == []


# -- log files -------------------------------------------------------------------------------


def test_ids_that_differ_only_in_case_have_different_files(tmp_path: Path) -> None:
    logs = TaskLogFiles(tmp_path, 100)
    names = {logs.path_of(name).name.lower() for name in ("run", "Run", "RUN", ".", "..", "con")}
    assert len(names) == 6


def test_sweep_removes_only_logs_that_are_not_kept(tmp_path: Path) -> None:
    logs = TaskLogFiles(tmp_path, 100)
    for name in ("kept-1", "dropped"):
        logs.path_of(name).write_text(name)
    logs.live_path("worker-1").write_text("left")
    (tmp_path / "notes.txt").write_text("of a user")
    (tmp_path / "notes.log").write_text("of a user")
    TaskLogs(logs).sweep(lambda name: name == "kept-1")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {logs.path_of("kept-1").name, "notes.txt", "notes.log"}


@pytest.mark.parametrize(("ran", "left"), [("night", ["97 percent"]), (None, [])])
def test_sweep_seals_the_log_of_the_execution_that_ran_at_the_kill_of_the_server(
    tmp_path: Path, ran: str | None, left: list[str]
) -> None:
    logs = TaskLogFiles(tmp_path, 100)
    logs.live_path("worker-1").write_text("97 percent")
    TaskLogs(logs).sweep(lambda name: name == "night", ran)
    assert [path.read_text() for path in tmp_path.iterdir()] == left
    assert logs.path_of("night").exists() == bool(left)


def test_failure_to_keep_a_log_is_logged_and_not_raised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = TaskLogFiles(tmp_path, 10)
    task_logs = TaskLogs(logs)
    logs.live_path("worker-1").write_text("words")
    (logs.path_of("a") / "in the way").mkdir(parents=True)
    task_logs.seal("worker-1", "a")
    logs.live_path("worker-2").mkdir()
    task_logs.trim_live("worker-2")
    assert task_logs.read_tail("a", 10) == (b"", 0)
    task_logs.remove("a")
    logs.path_of("gone").touch()
    task_logs.close(lambda _: False)
    assert not logs.path_of("gone").exists()
    assert not logs.live_path("worker-1").exists()
    assert len(caplog.messages) >= 4
    assert all("task log not kept: " in message for message in caplog.messages)


def test_file_name_of_a_log_is_not_that_of_a_device(tmp_path: Path) -> None:
    assert TaskLogFiles(tmp_path, 10).path_of("NUL.1").name.startswith("task-NUL.1-")


def test_servers_at_different_endpoints_have_different_directories(tmp_path: Path) -> None:
    ends = [
        Endpoint(7777, TransportMode.TCP),
        Endpoint(7777, TransportMode.TCP, host="127.0.0.2"),
        Endpoint(7777, TransportMode.IPC, directory=tmp_path / "a"),
        Endpoint(7777, TransportMode.IPC, directory=tmp_path / "b"),
    ]
    assert len({log_directory(tmp_path, end) for end in ends}) == 4


def test_trim_leaves_a_short_file_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\n")
    trim(path, 4)
    assert path.read_bytes() == b"a\nb\n"
    trim(tmp_path / "none", 4)


def test_trim_cuts_a_file_with_one_long_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100_000)
    trim(path, 1000)
    assert path.read_bytes().endswith(b"x" * 500)
    assert path.stat().st_size < 600


def test_error_of_a_task_cannot_forge_a_record_of_the_server(
    serve: Serve, caplog: pytest.LogCaptureFixture, config: ZMQConfig
) -> None:
    assert config.runtime_dir is not None
    path = config.runtime_dir.parent / "server.log"
    client = serve(log_file_path=path)
    handle = client.submit_execution({"raise": "no\n2026-01-01 INFO forged\x1b[2J"})
    handle.wait(PATIENCE)
    client.ping()  # Its reply is sent after the record is written.
    (line,) = [line for line in path.read_text().splitlines() if "forged" in line]
    assert line.endswith(r" is failed (exception: no\n2026-01-01 INFO forged\x1b[2J)")
    # A handler of the application, whose format does not escape, gets an escaped message too.
    (message,) = [message for message in caplog.messages if "forged" in message]
    assert message.isprintable()
