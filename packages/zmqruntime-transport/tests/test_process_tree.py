"""Kills of process trees and groups: descendants, orphans, and no foreign process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest
from transport_peers import PATIENCE_SECONDS, eventually

from zmqruntime.transport import ProcessIdentity
from zmqruntime.transport.lowlevel import kill_process_tree
from zmqruntime.transport.process.process_tree import kill_process_group

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
StartProcess = Callable[..., "subprocess.Popen[str]"]

WAIT_FOR_INPUT = "print('here', flush=True); input()"


# Starts a sleeping process, prints its pid, and waits for it.
FAMILY = """\
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
child.wait()
"""


def test_kill_of_a_process_includes_its_descendants(start_process: StartProcess) -> None:
    parent = start_process("-c", FAMILY)
    assert parent.stdout is not None
    grandchild = ProcessIdentity.of(int(parent.stdout.readline()))
    kill_process_tree(psutil.Process(parent.pid))
    assert parent.wait(PATIENCE_SECONDS) != 0
    eventually(lambda: not grandchild.is_running())


# Leads a group with a sleeping process whose parent has ended.
ORPHANING = """\
import os, subprocess, sys, time
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
os.setsid()
if os.fork() == 0:
    print(subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL).pid, flush=True)
    os._exit(0)
time.sleep(600)
"""


@posix
def test_kill_of_a_process_includes_orphans_of_its_group(start_process: StartProcess) -> None:
    leader = start_process("-c", ORPHANING)
    assert leader.stdout is not None
    orphan = ProcessIdentity.of(int(leader.stdout.readline()))
    eventually(lambda: orphan.pid not in [p.pid for p in psutil.Process(leader.pid).children(True)])
    kill_process_tree(psutil.Process(leader.pid))
    eventually(lambda: not orphan.is_running())


def test_process_that_ends_during_the_kill_is_no_error(
    child: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = ProcessIdentity.of(child.pid)
    found = identity.find()
    child.kill()
    child.wait(PATIENCE_SECONDS)
    monkeypatch.setattr(ProcessIdentity, "find", lambda self: found)
    assert not identity.is_running()
    assert found is not None
    kill_process_tree(found)


@posix
@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_empty_process_group_is_no_error(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    def killpg(group: int, signum: int) -> None:
        raise error

    monkeypatch.setattr(os, "killpg", killpg)
    leader = start_process("-c", f"import os; os.setsid(); {WAIT_FOR_INPUT}")
    assert leader.stdout is not None
    assert leader.stdout.readline() == "here\n"
    kill_process_tree(psutil.Process(leader.pid))
    assert leader.wait(PATIENCE_SECONDS) == -signal.SIGKILL


@posix
def test_group_of_a_process_with_a_reused_pid_is_not_killed(
    start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = start_process("-c", f"import os; os.setsid(); {WAIT_FOR_INPUT}")
    assert leader.stdout is not None
    assert leader.stdout.readline() == "here\n"

    def was_another(self: psutil.Process, recursive: bool = False) -> None:
        raise psutil.NoSuchProcess(self.pid)

    monkeypatch.setattr(psutil.Process, "children", was_another)
    monkeypatch.setattr(psutil.Process, "kill", was_another)
    monkeypatch.setattr(os, "killpg", lambda group, signum: pytest.fail("it was not ours"))
    kill_process_tree(psutil.Process(leader.pid))
    assert leader.poll() is None


@posix
def test_group_of_a_process_that_does_not_lead_it_is_not_killed(
    start_process: StartProcess, child: subprocess.Popen[str]
) -> None:
    # The children of a test run are in the group of this process.
    kill_process_tree(psutil.Process(child.pid))
    assert child.wait(PATIENCE_SECONDS) == -signal.SIGKILL


@posix
def test_process_group_is_killed_without_a_free_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    wait = "import time; time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", wait], start_new_session=True)
    process = psutil.Process(child.pid)
    monkeypatch.setattr(psutil.Process, "children", fail)
    monkeypatch.setattr(psutil.Process, "kill", fail)
    kill_process_tree(process)
    assert child.wait(PATIENCE_SECONDS) == -signal.SIGKILL


@posix
@pytest.mark.usefixtures("no_pidfd_open")
def test_kill_of_a_process_group_needs_no_pidfd_open(start_process: StartProcess) -> None:
    leader = start_process("-c", f"import os; os.setsid()\n{FAMILY}")
    assert leader.stdout is not None
    member = ProcessIdentity.of(int(leader.stdout.readline()))
    kill_process_group(leader.pid)
    assert leader.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    eventually(lambda: not member.is_running())
