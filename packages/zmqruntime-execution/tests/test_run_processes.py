"""`RunProcesses`: the processes that a run has left, found by an environment variable."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from zmqruntime.execution.worker.child import run_processes
from zmqruntime.execution.worker.child.run_processes import RunProcesses
from zmqruntime.transport.lowlevel import RUN_VARIABLE, WORKER_VARIABLE, read_start_time

pytestmark = pytest.mark.skipif(os.name == "nt", reason="reads environments of POSIX processes")

MARK = "test-of-run-processes"


@contextlib.contextmanager
def child_of(run: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process with the variables of a run."""
    variables = {**os.environ, WORKER_VARIABLE: MARK, RUN_VARIABLE: run}
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(
        command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.kill()


def wait_until_started_earlier(child: subprocess.Popen[bytes]) -> None:
    """Wait until the start time of a child differs from the present time."""
    started = read_start_time(psutil.Process(child.pid))
    while run_processes._now() - started <= 5 * run_processes._TICK_SECONDS:
        pass


def test_values_of_the_run_variable_are_used_again() -> None:
    processes = RunProcesses(MARK, 1.0)
    assert len({processes.begin_run() for _ in range(3000)}) == 1000


def test_process_of_an_earlier_run_with_the_same_value_is_spared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_processes, "_RUN_NUMBERS", 1)
    processes = RunProcesses(MARK, 1.0)
    with child_of(processes.begin_run()) as earlier:
        wait_until_started_earlier(earlier)
        with child_of(processes.begin_run()) as present:
            processes.terminate_run()
            assert not psutil.pid_exists(present.pid)
            assert earlier.poll() is None
