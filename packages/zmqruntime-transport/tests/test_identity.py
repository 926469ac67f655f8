"""Process identity: pids, zombies, and the wait for an end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import psutil
import pytest
from transport_peers import PATIENCE_SECONDS, eventually

from zmqruntime.transport import ProcessIdentity

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
StartProcess = Callable[..., "subprocess.Popen[str]"]

WAIT_FOR_INPUT = "print('here', flush=True); input()"


def test_current_process_is_running() -> None:
    me = ProcessIdentity.current()
    assert me.pid == os.getpid()
    assert me.is_running()
    assert me.find() == psutil.Process()


def test_zombie_is_not_running(
    child: subprocess.Popen[str],
) -> None:
    identity = ProcessIdentity.of(child.pid)
    assert identity.is_running()
    child.kill()
    eventually(lambda: not identity.is_running())
    child.wait(PATIENCE_SECONDS)
    assert not identity.is_running()
    assert identity.find() is None


def test_process_with_a_reused_pid_is_another_process() -> None:
    me = ProcessIdentity.current()
    predecessor = ProcessIdentity(me.pid, me.create_time - 10)
    assert not predecessor.is_running()
    assert predecessor.find() is None
    predecessor.wait()


def test_unused_pid_is_no_process(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait(PATIENCE_SECONDS)
    with pytest.raises(ProcessLookupError, match=f"no process has pid {child.pid}"):
        ProcessIdentity.of(child.pid)


@pytest.mark.parametrize("native", [True, False])
def test_wait_ends_with_an_unreaped_process(
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


@posix
@pytest.mark.usefixtures("no_pidfd_open")
def test_wait_needs_no_pidfd_open(child: subprocess.Popen[str]) -> None:
    child.kill()
    ProcessIdentity.of(child.pid).wait()


def test_wait_for_an_ended_process_is_immediate(child: subprocess.Popen[str]) -> None:
    identity = ProcessIdentity.of(child.pid)
    child.kill()
    child.wait(PATIENCE_SECONDS)
    identity.wait()
