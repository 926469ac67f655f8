"""A worker process that begins before there is a server for it."""

from __future__ import annotations

import multiprocessing.spawn
import os
import pickle
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from zmqruntime.execution.worker.bootstrap import (
    BegunWorker,
    WorkerProgram,
    begun_ahead,
    drop_begun,
    python_of,
    take_begun,
)

PATIENCE = 60.0


def test_one_that_was_begun_ahead_is_taken_once_and_ends_with_the_block() -> None:
    with begun_ahead("json"):
        begun = take_begun()
        assert begun is not None
        assert take_begun() is None
    assert begun.process.returncode is not None


def test_one_that_nobody_takes_ends_with_the_block() -> None:
    with begun_ahead("json"):
        (child,) = psutil.Process().children()
    assert not child.is_running()
    assert take_begun() is None


def test_the_block_does_not_wait_for_one_that_has_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with begun_ahead("json"):
        begun = take_begun()
        assert begun is not None
        begun.give(None)  # type: ignore[arg-type] # nothing that anybody could be: it ends
        monkeypatch.setattr(begun.process, "wait", pytest.fail)
    monkeypatch.undo()
    assert begun.process.wait(PATIENCE) == 0


def test_one_that_is_dropped_ends_before_the_block() -> None:
    with begun_ahead("json"):
        (child,) = psutil.Process().children()
        drop_begun()
        assert child.wait(PATIENCE) == 0


def test_it_does_not_mind_a_module_that_cannot_be_imported() -> None:
    begun = BegunWorker(WorkerProgram("no_such_module_anywhere"))
    begun.drop()
    assert begun.process.wait(PATIENCE) == 0


def test_one_that_is_told_only_half_ends_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    begun = BegunWorker(WorkerProgram("json"))
    assert begun.process.stdin is not None
    begun.process.stdin.write(pickle.dumps("what it is to be")[:-5])
    begun.drop()
    assert begun.process.wait(PATIENCE) == 0
    assert capfd.readouterr() == ("", "")


def test_it_ends_when_the_program_that_has_begun_it_is_gone() -> None:
    code = (
        "import os\n"
        "from zmqruntime.execution.worker.bootstrap import BegunWorker, WorkerProgram\n"
        "begun = BegunWorker(WorkerProgram('json'))\n"
        "os._exit(0)\n"
    )
    run("-c", code)  # Until nobody is left who could write to the output: the worker inherits it.


def test_it_finds_what_this_process_finds_and_reads_nothing_that_is_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "looking.py").write_text(
        "import os, sys\n"
        "print(sys.stdin.read(), os.read(0, 10), *sys.argv, flush=True)\n"
        "os._exit(7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["it", "and its argument"])
    begun = BegunWorker(WorkerProgram("looking"))
    assert begun.process.wait(PATIENCE) == 7  # While more might be told by the pipe.
    begun.drop()
    assert capfd.readouterr().out == " b'' it and its argument\n"


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_no_ctrl_c_reaches_it_before_it_can_tell_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "looking.py").write_text(
        "import os, signal\n"
        "os._exit(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    begun = BegunWorker(WorkerProgram("looking"))
    assert begun.process.wait(PATIENCE) == 1
    begun.drop()


def test_it_runs_by_the_options_of_this_python(tmp_path: Path) -> None:
    (tmp_path / "looking.py").write_text(
        "import sys; print(sys.flags.optimize, sys._xoptions, sys.warnoptions)"
    )
    code = (
        "from zmqruntime.execution.worker.bootstrap import begun_ahead, take_begun\n"
        "with begun_ahead('looking'):\n"
        "    begun = take_begun()\n"
        "    begun.drop()\n"
        "    begun.process.wait()\n"
    )
    done = run("-O", "-X", "utf8", "-W", "ignore::FutureWarning", "-c", code, cwd=tmp_path)
    assert done.stdout == "1 {'utf8': True} ['ignore::FutureWarning']\n"


def test_where_a_virtual_environment_only_starts_another_python_that_one_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "_base_executable", "base.exe", raising=False)
    monkeypatch.setenv("ANYTHING", "else")
    python, environment = python_of(sys.executable, windows=True)
    assert python == "base.exe"
    assert environment == {**os.environ, "__PYVENV_LAUNCHER__": sys.executable}
    assert python_of(sys.executable, windows=False) == (sys.executable, None)
    assert python_of("embedded.exe", windows=True) == ("embedded.exe", None)


def test_a_program_that_embeds_python_says_what_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    executable = multiprocessing.spawn.get_executable()
    multiprocessing.set_executable("/no/such/python")
    try:
        with pytest.raises(FileNotFoundError):
            BegunWorker(WorkerProgram("json"))
    finally:
        multiprocessing.set_executable(os.fsdecode(executable))


def test_a_frozen_program_is_not_run_again_as_its_own_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(OSError, match=r"by multiprocessing\.set_executable\(\)"):
        BegunWorker(WorkerProgram("json"))


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that nobody measures."""
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
    """Return what is loaded when some code has run."""
    return set(run("-c", f"{code}\nimport sys; print(*sys.modules)").stdout.split())


def test_it_imports_next_to_nothing() -> None:
    loaded = loaded_by("import zmqruntime.execution.worker.bootstrap") - loaded_by("pass")
    assert not {"pydantic", "zmq", "psutil", "asyncio", "typing", "multiprocessing"} & loaded


def test_a_worker_loads_nothing_that_only_servers_and_clients_need() -> None:
    loaded = loaded_by(
        "import zmqruntime.execution.worker.child.main\n"
        "from zmqruntime.execution import ExecutionContext, ExecutionServer"
    )
    assert not {"zmq", "asyncio", "filelock", "sqlite3", "multiprocessing"} & loaded
    assert (
        not {f"zmqruntime.execution.{name}" for name in ("client", "server.session", "runner")}
        & loaded
    )


def test_a_server_starts_without_what_it_may_tell_later() -> None:
    loaded = loaded_by(
        "import zmqruntime.execution.server.session, zmqruntime.execution.core.scheduler\n"
        "import zmqruntime.execution.worker.parent.process_runner\n"
        "import zmqruntime.execution.journal.durable_engine"
    )
    assert "zmqruntime.messages.server_replies" in loaded
    assert "zmqruntime.messages.replies" not in loaded
