"""Programs of a task are terminated with their descendants."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from zmqruntime.execution.worker.child.programs import Program, run_program

# Starts a process that keeps the output open, writes its pid to a file, and ends.
LEAVE_CHILD = """\
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
"""


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("environment", [None, {"PATH": os.environ.get("PATH", "")}])
def test_descendant_of_a_program_that_has_exited_is_killed_at_the_timeout(
    tmp_path: Path, environment: dict[str, str] | None
) -> None:
    written = tmp_path / "pid"
    arguments = [sys.executable, "-c", LEAVE_CHILD, str(written)]
    program = Program(arguments, stdout=subprocess.PIPE, env=environment)
    assert program.wait() == 0
    pid = int(written.read_text())
    assert runs(pid)
    with pytest.raises(subprocess.TimeoutExpired):
        run_program(program, None, 0.01, check=False)
    assert not runs(pid)


def test_environment_of_a_program_is_the_given_one() -> None:
    code = "import os; print(os.environ.get('GIVEN'), 'HOME' in os.environ)"
    environment = {"GIVEN": "1", "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")}
    program = Program([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert run_program(program, None, None, check=True).stdout.split() == [b"1", b"False"]
