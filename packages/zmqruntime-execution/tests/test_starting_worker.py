"""Start of a worker process, before or after its server has a setup for it."""

from __future__ import annotations

import multiprocessing.spawn
import os
import pickle
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from zmqruntime.execution.worker.parent import starting_worker
from zmqruntime.execution.worker.parent.starting_worker import (
    StartingWorker,
    drop_prestarted,
    prestarted,
    take_prestarted,
)
from zmqruntime.execution.worker.parent.worker_program import WorkerProgram, find_python

PATIENCE = 60.0


def test_prestarted_worker_is_taken_once_and_killed_at_the_end_of_the_block() -> None:
    with prestarted("json"):
        worker = take_prestarted()
        assert worker is not None
        assert take_prestarted() is None
    assert worker.process.returncode is not None


def test_unused_prestarted_worker_is_killed_at_the_end_of_the_block() -> None:
    with prestarted("json"):
        child = psutil.Process(starting_worker._prestarted[0].process.pid)
    assert not child.is_running()
    assert take_prestarted() is None


def test_block_does_not_wait_for_a_worker_with_a_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    with prestarted("json"):
        worker = take_prestarted()
        assert worker is not None
        worker.send_setup(None)  # type: ignore[arg-type] # no setup: it quits
        monkeypatch.setattr(worker.process, "wait", pytest.fail)
    monkeypatch.undo()
    assert worker.process.wait(PATIENCE) == 0


def test_dropped_worker_quits_before_the_end_of_the_block() -> None:
    with prestarted("json"):
        child = psutil.Process(starting_worker._prestarted[0].process.pid)
        drop_prestarted()
        assert child.wait(PATIENCE) == 0


def test_bootstrap_ignores_a_module_that_cannot_be_imported() -> None:
    worker = StartingWorker(WorkerProgram("no_such_module_anywhere"))
    worker.close_pipe()
    assert worker.process.wait(PATIENCE) == 0


def test_worker_with_a_truncated_setup_quits_without_output(
    capfd: pytest.CaptureFixture[str],
) -> None:
    worker = StartingWorker(WorkerProgram("json"))
    assert worker.process.stdin is not None
    worker.process.stdin.write(pickle.dumps("the setup of a worker")[:-5])
    worker.close_pipe()
    assert worker.process.wait(PATIENCE) == 0
    assert capfd.readouterr() == ("", "")


def test_worker_quits_when_its_parent_has_exited() -> None:
    code = (
        "import os\n"
        "from zmqruntime.execution.worker.parent.starting_worker import StartingWorker\n"
        "from zmqruntime.execution.worker.parent.worker_program import WorkerProgram\n"
        "worker = StartingWorker(WorkerProgram('json'))\n"
        "os._exit(0)\n"
    )
    run("-c", code)  # Returns when the output is closed, which the worker has inherited.


def test_worker_has_the_import_path_and_arguments_of_its_server_and_an_empty_stdin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "looking.py").write_text(
        "import os, sys\n"
        "print(sys.stdin.read(), os.read(0, 10), *sys.argv, flush=True)\n"
        "os._exit(7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["it", "and its argument"])
    worker = StartingWorker(WorkerProgram("looking"))
    assert worker.process.wait(PATIENCE) == 7  # While the pipe is open.
    worker.close_pipe()
    assert capfd.readouterr().out == " b'' it and its argument\n"


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_sigint_is_blocked_until_the_worker_handles_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "looking.py").write_text(
        "import os, signal\n"
        "os._exit(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    worker = StartingWorker(WorkerProgram("looking"))
    assert worker.process.wait(PATIENCE) == 1
    worker.close_pipe()


def test_worker_runs_with_the_interpreter_options_of_its_server(tmp_path: Path) -> None:
    (tmp_path / "looking.py").write_text(
        "import sys; print(sys.flags.optimize, sys._xoptions, sys.warnoptions)"
    )
    code = (
        "from zmqruntime.execution.worker.parent.starting_worker import (\n"
        "    prestarted, take_prestarted)\n"
        "with prestarted('looking'):\n"
        "    worker = take_prestarted()\n"
        "    worker.close_pipe()\n"
        "    worker.process.wait()\n"
    )
    done = run("-O", "-X", "utf8", "-W", "ignore::FutureWarning", "-c", code, cwd=tmp_path)
    assert done.stdout == "1 {'utf8': True} ['ignore::FutureWarning']\n"


def test_base_python_is_started_in_a_virtual_environment_of_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "_base_executable", "base.exe", raising=False)
    monkeypatch.setenv("ANYTHING", "else")
    python, environment = find_python(sys.executable, windows=True)
    assert python == "base.exe"
    assert environment == {**os.environ, "__PYVENV_LAUNCHER__": sys.executable}
    assert find_python(sys.executable, windows=False) == (sys.executable, None)
    assert find_python("embedded.exe", windows=True) == ("embedded.exe", None)


def test_executable_set_for_multiprocessing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    executable = multiprocessing.spawn.get_executable()
    multiprocessing.set_executable("/no/such/python")
    try:
        with pytest.raises(FileNotFoundError):
            StartingWorker(WorkerProgram("json"))
    finally:
        multiprocessing.set_executable(os.fsdecode(executable))


def test_frozen_program_is_not_started_as_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(OSError, match=r"by multiprocessing\.set_executable\(\)"):
        StartingWorker(WorkerProgram("json"))


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a process without coverage."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )


def loaded_by(code: str) -> set[str]:
    """Return the modules that are loaded after ``code`` has run."""
    return set(run("-c", f"{code}\nimport sys; print(*sys.modules)").stdout.split())


def test_start_of_a_worker_imports_next_to_nothing() -> None:
    loaded = loaded_by("import zmqruntime.execution.worker.parent.starting_worker") - loaded_by(
        "pass"
    )
    assert not {"pydantic", "zmq", "psutil", "asyncio", "typing", "multiprocessing"} & loaded


def test_worker_imports_no_module_that_only_servers_and_clients_need() -> None:
    loaded = loaded_by(
        "import zmqruntime.execution.worker.child.main\n"
        "from zmqruntime.execution import ExecutionContext, ExecutionServer"
    )
    assert not {"zmq", "asyncio", "filelock", "sqlite3", "multiprocessing"} & loaded
    assert (
        not {
            f"zmqruntime.execution.{name}"
            for name in ("client", "server.session", "runner", "worker.parent")
        }
        & loaded
    )


def test_server_starts_without_importing_replies_that_it_may_send_later() -> None:
    loaded = loaded_by(
        "import zmqruntime.execution.server.session, zmqruntime.execution.core.scheduler\n"
        "import zmqruntime.execution.worker.parent.process_runner\n"
        "import zmqruntime.execution.journal.durable_engine"
    )
    assert "zmqruntime.messages.server_replies" in loaded
    assert "zmqruntime.messages.replies" not in loaded
