"""A process is known by more than its pid, and only what is ours is ended."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import psutil
import pytest
from transport_peers import PATIENCE_SECONDS, eventually

from zmqruntime.transport import ProcessIdentity
from zmqruntime.transport.lowlevel import describe_exit, kill_process_tree
from zmqruntime.transport.process.process_tree import kill_process_group

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
StartProcess = Callable[..., "subprocess.Popen[str]"]

WAIT_FOR_INPUT = "print('here', flush=True); input()"


@pytest.fixture
def child(start_process: StartProcess) -> subprocess.Popen[str]:
    process = start_process("-c", WAIT_FOR_INPUT)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (0xC0000005, "exit code 3221225477"),
        (-int(signal.SIGTERM), "signal SIGTERM"),
        (-9999, "signal 9999"),
    ],
)
def test_an_exit_is_said_in_words(exit_code: int, said: str) -> None:
    assert describe_exit(exit_code) == said


def test_this_process_runs() -> None:
    me = ProcessIdentity.current()
    assert me.pid == os.getpid()
    assert me.is_running()
    assert me.find() == psutil.Process()


def test_a_process_that_ended_runs_no_more_also_before_anybody_took_its_exit_code(
    child: subprocess.Popen[str],
) -> None:
    identity = ProcessIdentity.of(child.pid)
    assert identity.is_running()
    child.kill()
    eventually(lambda: not identity.is_running())
    child.wait(PATIENCE_SECONDS)
    assert not identity.is_running()
    assert identity.find() is None


def test_another_process_with_the_same_pid_is_another_process() -> None:
    me = ProcessIdentity.current()
    predecessor = ProcessIdentity(me.pid, me.create_time - 10)
    assert not predecessor.is_running()
    assert predecessor.find() is None
    predecessor.wait()


def test_a_pid_that_nobody_has_is_no_process(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait(PATIENCE_SECONDS)
    with pytest.raises(ProcessLookupError, match=f"no process has pid {child.pid}"):
        ProcessIdentity.of(child.pid)


@pytest.mark.parametrize("native", [True, False])
def test_waiting_ends_with_the_process_also_while_nobody_reaps_it(
    child: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    native: bool,
) -> None:
    if not native:
        monkeypatch.setattr(sys, "platform", "some-other")
    waiter = threading.Thread(target=ProcessIdentity.of(child.pid).wait, daemon=True)
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive()
    child.kill()
    waiter.join(PATIENCE_SECONDS)
    assert not waiter.is_alive()


@pytest.fixture
def no_pidfd_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    # What psutil has found out is cached.
    monkeypatch.setattr("psutil._psposix.can_use_pidfd_open", lambda: False, raising=False)


@posix
@pytest.mark.usefixtures("no_pidfd_open")
def test_wait_needs_no_pidfd_open(child: subprocess.Popen[str]) -> None:
    child.kill()
    ProcessIdentity.of(child.pid).wait()


@posix
@pytest.mark.usefixtures("no_pidfd_open")
def test_kill_of_a_process_group_needs_no_pidfd_open(start_process: StartProcess) -> None:
    leader = start_process("-c", f"import os; os.setsid()\n{FAMILY}")
    assert leader.stdout is not None
    member = ProcessIdentity.of(int(leader.stdout.readline()))
    kill_process_group(leader.pid)
    assert leader.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    eventually(lambda: not member.is_running())


def test_waiting_for_what_has_ended_ends_at_once(child: subprocess.Popen[str]) -> None:
    identity = ProcessIdentity.of(child.pid)
    child.kill()
    child.wait(PATIENCE_SECONDS)
    identity.wait()


# Starts a process that sleeps, tells its pid, and waits for it.
FAMILY = """\
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
child.wait()
"""


def test_a_process_is_ended_with_all_that_it_started(start_process: StartProcess) -> None:
    parent = start_process("-c", FAMILY)
    assert parent.stdout is not None
    grandchild = ProcessIdentity.of(int(parent.stdout.readline()))
    kill_process_tree(psutil.Process(parent.pid))
    assert parent.wait(PATIENCE_SECONDS) != 0
    eventually(lambda: not grandchild.is_running())


# Leads a group in which a process sleeps whose parent has ended.
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
def test_orphans_in_its_process_group_are_ended_too(start_process: StartProcess) -> None:
    leader = start_process("-c", ORPHANING)
    assert leader.stdout is not None
    orphan = ProcessIdentity.of(int(leader.stdout.readline()))
    eventually(lambda: orphan.pid not in [p.pid for p in psutil.Process(leader.pid).children(True)])
    kill_process_tree(psutil.Process(leader.pid))
    eventually(lambda: not orphan.is_running())


def test_a_process_that_ends_while_it_is_looked_at_is_one_that_ended(
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
def test_a_group_that_is_empty_by_then_is_no_error(
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
def test_the_group_of_a_process_that_got_the_pid_meanwhile_is_left_alone(
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
def test_the_group_of_a_process_that_leads_none_is_left_alone(
    start_process: StartProcess, child: subprocess.Popen[str]
) -> None:
    # The children of a test run share its group, of which this very process is a member.
    kill_process_tree(psutil.Process(child.pid))
    assert child.wait(PATIENCE_SECONDS) == -signal.SIGKILL


@posix
def test_process_group_is_killed_though_no_file_is_left_to_look_with(
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
