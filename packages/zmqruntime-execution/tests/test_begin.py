"""A worker process that begins before there is a server for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from zmqruntime.execution.worker.begin import BegunWorker, begin_ahead, drop_begun, take_begun

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def _nothing_begun() -> Iterator[None]:
    yield
    drop_begun()


def test_one_that_was_begun_ahead_is_taken_once() -> None:
    begin_ahead("json")
    begun = take_begun()
    assert begun is not None
    assert take_begun() is None
    begun.drop()
    begun.process.join(PATIENCE)
    assert begun.process.exitcode == 0


def test_one_that_nobody_takes_ends() -> None:
    begin_ahead("json")
    begun = take_begun()
    assert begun is not None
    process = begun.process
    del begun
    process.join(PATIENCE)
    assert process.exitcode == 0


def test_it_does_not_mind_a_module_that_cannot_be_imported() -> None:
    begun = BegunWorker("no_such_module_anywhere")
    begun.drop()
    begun.process.join(PATIENCE)
    assert begun.process.exitcode == 0


def test_a_program_that_has_begun_one_and_ends_is_not_held_up() -> None:
    code = (
        "from zmqruntime.execution.worker.begin import begin_ahead\n"
        "if __name__ == '__main__':\n"
        "    begin_ahead('json')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=PATIENCE, check=False)
    assert done.returncode == 0


def loaded_by(code: str) -> set[str]:
    """Return what is loaded when some code has run, in a process that nobody measures."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    return set(done.stdout.split())


def test_it_imports_next_to_nothing() -> None:
    loaded = loaded_by("import zmqruntime.execution.worker.begin") - loaded_by("pass")
    assert not {"pydantic", "zmq", "psutil", "asyncio", "typing"} & loaded


def test_a_worker_loads_nothing_that_only_servers_and_clients_need() -> None:
    loaded = loaded_by(
        "import zmqruntime.execution.worker.main\n"
        "from zmqruntime.execution import ExecutionContext, ExecutionServer"
    )
    assert not {"zmq", "asyncio", "filelock", "sqlite3"} & loaded
    assert not {f"zmqruntime.execution.{name}" for name in ("client", "session", "runner")} & loaded
