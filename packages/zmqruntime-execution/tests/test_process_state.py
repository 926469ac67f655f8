"""What one task changes in its worker process does not reach the next one."""

from __future__ import annotations

import codecs
import gc
import io
import locale
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zmqruntime.execution.worker.child.output import TaskOutput
from zmqruntime.execution.worker.child.process_state import ProcessState
from zmqruntime.execution.worker.task_logs import TaskLogFiles


@pytest.fixture(autouse=True)
def _undo() -> Any:
    """Give pytest back what it had, whatever a test leaves."""
    streams, directory, mask = (sys.stdin, sys.stdout, sys.stderr), Path.cwd(), os.umask(0o022)
    os.umask(mask)
    yield
    sys.stdin, sys.stdout, sys.stderr = streams
    os.chdir(directory)
    os.umask(mask)


def _set_variable() -> None:
    os.environ["ZMQRUNTIME_TEST"] = "1"
    del os.environ["PATH"]


def _open_nothing() -> None:
    sys.stdin = sys.stdout = sys.stderr = io.StringIO()


CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "a handler of SIGINT": (
        lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        lambda: signal.getsignal(signal.SIGINT),
    ),
    "an ignored SIGTERM": (
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGTERM),
    ),
    "the working directory": (lambda: os.chdir("/"), os.getcwd),
    "the umask": (lambda: os.umask(0o777), lambda: (os.umask(0o077), os.umask(0o077))[0]),
    "the environment": (
        _set_variable,
        lambda: (os.environ.get("ZMQRUNTIME_TEST"), os.environ.get("PATH")),
    ),
    "the standard streams": (_open_nothing, lambda: (sys.stdin, sys.stdout, sys.stderr)),
    "the warnings filters": (
        lambda: warnings.simplefilter("error"),
        lambda: list(warnings.filters),
    ),
    "an exception hook": (
        lambda: setattr(sys, "excepthook", print),
        lambda: sys.excepthook,
    ),
    "an exception hook of threads": (
        lambda: setattr(threading, "excepthook", print),
        lambda: threading.excepthook,
    ),
    "a profile function": (lambda: sys.setprofile(lambda *_: None), sys.getprofile),
    "the recursion limit": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "the default time-out of sockets": (
        lambda: socket.setdefaulttimeout(0.1),
        socket.getdefaulttimeout,
    ),
    "garbage collection": (gc.disable, gc.isenabled),
}
if hasattr(signal, "pthread_sigmask"):
    CHANGES["a blocked signal"] = (
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}),
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    )
    CHANGES["an alarm"] = (lambda: signal.alarm(1000), lambda: signal.getitimer(signal.ITIMER_REAL))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_taken_back(name: str) -> None:
    change, look = CHANGES[name]
    state = ProcessState()
    before = look()
    change()
    state.restore()
    assert look() == before


def test_a_changed_locale_is_taken_back() -> None:
    state = ProcessState()
    before = locale.setlocale(locale.LC_ALL)
    other = "C" if before != "C" else "C.UTF-8"
    try:
        locale.setlocale(locale.LC_ALL, other)
    except locale.Error:
        pytest.skip(f"this system has no locale {other}")
    state.restore()
    assert locale.setlocale(locale.LC_ALL) == before


def test_a_removed_working_directory_is_left(tmp_path: Path) -> None:
    state = ProcessState()
    before = Path.cwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    state.restore()
    assert Path.cwd() == before


def test_a_closed_standard_stream_is_opened_again_on_its_descriptor() -> None:
    if not isinstance(sys.__stdout__, io.TextIOWrapper):
        pytest.skip("there is no standard output")
    sys.stdout = sys.__stdout__
    state = ProcessState()
    sys.stdout.close()
    os.fstat(1)  # The descriptor is open still.
    state.restore()
    assert not sys.stdout.closed
    assert sys.stdout.fileno() == 1


class _Incomparable:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("this hook has no equal")

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, *arguments: object) -> None: ...


def test_a_detached_standard_stream_is_opened_again_at_each_restore() -> None:
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False))  # noqa: SIM115 - detached
    state = ProcessState()
    for _ in range(2):
        sys.stdout = codecs.getwriter("utf-8")(sys.stdout.detach())
        state.restore()
        assert sys.stdout.fileno() == 1


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr", "excepthook"])
def test_a_deleted_attribute_of_sys_is_restored(name: str) -> None:
    state = ProcessState()
    before = getattr(sys, name)
    delattr(sys, name)
    state.restore()
    assert getattr(sys, name) is before


@pytest.mark.parametrize("module", [sys, threading])
def test_a_hook_that_cannot_be_compared_is_replaced(module: Any) -> None:
    state = ProcessState()
    before = module.excepthook
    module.excepthook = _Incomparable()
    state.restore()
    assert module.excepthook is before


def test_a_signal_handler_that_cannot_be_compared_is_replaced() -> None:
    state = ProcessState()
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, _Incomparable())
    state.restore()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("missing", ["stdout", "stderr"])
def test_output_of_a_task_is_kept_without_a_standard_stream(tmp_path: Path, missing: str) -> None:
    output = TaskOutput(TaskLogFiles(tmp_path, 1000), "w")
    delattr(sys, missing)
    output.redirect("x")
    os.write(1, b"written")
    output.seal("x")
    output.restore()
    assert any(path.read_bytes() == b"written" for path in tmp_path.rglob("*") if path.is_file())
