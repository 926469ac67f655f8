"""Workers that exit before they start a task, and workers that cannot be restarted."""

from __future__ import annotations

import multiprocessing.spawn
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from echoing import Around, Echo

from zmqruntime.execution import ExecutionClient
from zmqruntime.execution.worker.parent.worker_program import WorkerProgram
from zmqruntime.execution.worker.start_marker import StartMarker
from zmqruntime.messages import ErrorKind, ExecutionStatus
from zmqruntime.transport import ZMQConfig

QUEUED, RUNNING, COMPLETE, FAILED, CANCELLED = ExecutionStatus

PATIENCE = 60.0
PORT = 21_900

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and directories")


@pytest.fixture
def config() -> Iterator[ZMQConfig]:
    with tempfile.TemporaryDirectory(prefix="zr-") as path:
        Path(path).chmod(0o700)
        yield ZMQConfig(runtime_dir=Path(path) / "r", log_dir=Path(path) / "l")


def kill_worker(client: ExecutionClient) -> psutil.Process:
    """Kill the idle worker and return it."""
    worker = psutil.Process(client.ping().workers[0].pid)
    worker.kill()
    return worker


# -- tasks that were not started ------------------------------------------------------------


@needs_posix
def test_task_that_a_killed_worker_has_not_started_runs_in_the_next_one(config: ZMQConfig) -> None:
    with Around(PORT, config=config), ExecutionClient(PORT, config=config) as client:
        for _ in range(3):
            client.execute({}, timeout=PATIENCE)
            worker = kill_worker(client)
            record = client.submit_execution({}).wait(PATIENCE)
            assert (record.status, record.attempt, record.error) == (COMPLETE, 1, None)
            assert isinstance(record.result, dict)
            assert record.result["pid"] != worker.pid


@needs_posix
def test_task_that_was_assigned_to_a_suspended_worker_runs_in_the_next_one(
    config: ZMQConfig,
) -> None:
    with Around(PORT, config=config), ExecutionClient(PORT, config=config) as client:
        client.execute({}, timeout=PATIENCE)
        worker = psutil.Process(client.ping().workers[0].pid)
        worker.suspend()
        handle = client.submit_execution({})
        assert handle.status().status is RUNNING
        worker.kill()
        record = handle.wait(PATIENCE)
        assert (record.status, record.attempt, record.error) == (COMPLETE, 1, None)


@needs_posix
def test_task_that_exits_its_worker_has_failed(config: ZMQConfig) -> None:
    with Echo(PORT, config=config), ExecutionClient(PORT, config=config) as client:
        for _ in range(2):  # The first task of a worker, and a later one.
            client.submit_execution({"x": 1})
            error = client.submit_execution({"exit": 7}).wait(PATIENCE).error
            assert error is not None
            assert error.kind is ErrorKind.WORKER_DIED
            assert "while it ran the task" in error.message


def test_start_marker_is_read_from_shared_memory() -> None:
    tasks = StartMarker("zmqruntime-test")
    try:
        assert not tasks.is_started(1)
        for number in (1, 2, 255, 256, 257):
            tasks.mark_started(number)
            assert tasks.is_started(number)
            assert not tasks.is_started(number + 1)
    finally:
        tasks.close_file()
    tasks.mark_started(3)  # The memory outlives the descriptor.
    assert tasks.is_started(3)


@needs_posix
def test_start_marker_without_memfd_is_an_anonymous_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    tasks = StartMarker("zmqruntime-test")
    assert tasks.descriptor is not None
    again = StartMarker("zmqruntime-test", os.dup(tasks.descriptor))
    again.mark_started(7)
    assert tasks.is_started(7)
    tasks.close_file()
    again.close_file()


# -- the next worker is started as the first one ---------------------------------------------


@needs_posix
def test_later_worker_has_the_environment_of_the_first(
    config: ZMQConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = tmp_path / "first", tmp_path / "later"
    first.mkdir()
    later.mkdir()
    monkeypatch.chdir(first)
    monkeypatch.setenv("ZM_VARIABLE", "first")
    with Around(PORT, config=config), ExecutionClient(PORT, config=config) as client:
        before = client.execute({}, timeout=PATIENCE)
        monkeypatch.chdir(later)
        monkeypatch.setenv("ZM_VARIABLE", "later")
        monkeypatch.syspath_prepend(later)
        monkeypatch.setattr(sys, "argv", ["later"])
        kill_worker(client)
        after = client.execute({}, timeout=PATIENCE)
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before.pop("pid") != after.pop("pid")
    assert before["directory"] == str(first.resolve())
    assert before["variable"] == "first"
    assert after == before


@needs_posix
def test_later_worker_starts_after_the_working_directory_was_removed(
    config: ZMQConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with Echo(PORT, config=config), ExecutionClient(PORT, config=config) as client:
        client.execute({}, timeout=PATIENCE)
        here.rmdir()
        kill_worker(client)
        assert client.execute({}, timeout=PATIENCE)


# -- workers that cannot be started ---------------------------------------------------------


@needs_posix
def test_missing_python_is_named_in_log_and_pong_until_a_worker_starts(
    config: ZMQConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executable = os.fsdecode(multiprocessing.spawn.get_executable())
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    multiprocessing.set_executable(str(link))
    try:
        with Echo(PORT, config=config), ExecutionClient(PORT, config=config) as client:
            assert client.ping().worker_error is None
            link.unlink()
            kill_worker(client)
            handle = client.submit_execution({"x": 1})
            while (pong := client.ping()).worker_error is None:
                threading.Event().wait(0.02)
            assert not pong.ready
            assert str(link) in pong.worker_error
            assert f"{link} was replaced or removed" in pong.worker_error
            assert handle.status().status is QUEUED
            link.symlink_to(sys.executable)
            assert handle.wait(PATIENCE).status is COMPLETE
            assert client.ping().worker_error is None
    finally:
        multiprocessing.set_executable(executable)
    assert "the worker process did not get ready (not started)" in caplog.text
    assert str(link) in caplog.text


def test_worker_start_is_retried_when_its_thread_cannot_be_started(
    config: ZMQConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Echo(PORT, config=config), ExecutionClient(PORT, config=config) as client:
        client.execute({}, timeout=PATIENCE)
        start = threading.Thread.start

        def fail_once(thread: threading.Thread) -> None:
            if thread.name != "zmqruntime-worker-watch":
                start(thread)
                return
            monkeypatch.setattr(threading.Thread, "start", start)
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", fail_once)
        kill_worker(client)
        assert client.execute({}, timeout=PATIENCE)


def test_changes_of_the_program_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    python = tmp_path / "python"
    python.write_text("one")
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(multiprocessing.spawn, "get_executable", lambda: str(python))
    program = WorkerProgram("json")
    assert program.find_changes() == []
    python.write_text("another one")
    (changed,) = program.find_changes()
    assert str(python) in changed
    if os.name != "nt":  # Where a directory in use cannot be removed.
        here.rmdir()
        assert str(here) in program.find_changes()[1]


@needs_posix
def test_worker_starts_after_the_directory_of_its_server_was_removed(config: ZMQConfig) -> None:
    with Around(PORT, config=config) as server, ExecutionClient(PORT, config=config) as client:
        first = client.execute({}, timeout=PATIENCE)
        shutil.rmtree(server.endpoint.directory)
        kill_worker(client)
        later = client.execute({}, timeout=PATIENCE)
        assert isinstance(first, dict)
        assert isinstance(later, dict)
        assert first["pid"] != later["pid"]


@needs_posix
def test_worker_start_is_retried_when_its_directory_cannot_be_created(config: ZMQConfig) -> None:
    with Echo(PORT, config=config) as server, ExecutionClient(PORT, config=config) as client:
        directory = server.endpoint.directory
        shutil.rmtree(directory)
        directory.write_text("in the way")
        kill_worker(client)
        handle = client.submit_execution({"x": 1})
        while (pong := client.ping()).worker_error is None:
            threading.Event().wait(0.02)
        assert str(directory) in pong.worker_error
        directory.unlink()
        assert handle.wait(PATIENCE).status is COMPLETE
