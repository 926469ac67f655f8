"""State of the process that one task changes is restored for the next one."""

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
    """Restore the state of pytest after each test."""
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
    "the default timeout of sockets": (
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
def test_change_is_restored(name: str) -> None:
    change, read = CHANGES[name]
    state = ProcessState()
    before = read()
    change()
    state.restore()
    assert read() == before


def test_changed_locale_is_restored() -> None:
    state = ProcessState()
    before = locale.setlocale(locale.LC_ALL)
    other = "C" if before != "C" else "C.UTF-8"
    try:
        locale.setlocale(locale.LC_ALL, other)
    except locale.Error:
        pytest.skip(f"the locale {other} is not installed")
    state.restore()
    assert locale.setlocale(locale.LC_ALL) == before


def test_removed_working_directory_is_left(tmp_path: Path) -> None:
    state = ProcessState()
    before = Path.cwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    state.restore()
    assert Path.cwd() == before


def test_closed_standard_stream_is_reopened_on_its_descriptor() -> None:
    if not isinstance(sys.__stdout__, io.TextIOWrapper):
        pytest.skip("no standard output")
    sys.stdout = sys.__stdout__
    state = ProcessState()
    sys.stdout.close()
    os.fstat(1)  # The descriptor is still open.
    state.restore()
    assert not sys.stdout.closed
    assert sys.stdout.fileno() == 1


class _Incomparable:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, *arguments: object) -> None: ...


def test_detached_standard_stream_is_reopened_at_each_restore() -> None:
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False))  # noqa: SIM115 - detached
    state = ProcessState()
    for _ in range(2):
        sys.stdout = codecs.getwriter("utf-8")(sys.stdout.detach())
        state.restore()
        assert sys.stdout.fileno() == 1


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr", "excepthook"])
def test_deleted_attribute_of_sys_is_restored(name: str) -> None:
    state = ProcessState()
    before = getattr(sys, name)
    delattr(sys, name)
    state.restore()
    assert getattr(sys, name) is before


@pytest.mark.parametrize("module", [sys, threading])
def test_hook_whose_comparison_raises_is_replaced(module: Any) -> None:
    state = ProcessState()
    before = module.excepthook
    module.excepthook = _Incomparable()
    state.restore()
    assert module.excepthook is before


def test_signal_handler_whose_comparison_raises_is_replaced() -> None:
    state = ProcessState()
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, _Incomparable())
    state.restore()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("missing", ["stdout", "stderr"])
def test_output_is_captured_without_a_standard_stream(tmp_path: Path, missing: str) -> None:
    output = TaskOutput(TaskLogFiles(tmp_path, 1000), "w")
    delattr(sys, missing)
    output.redirect("x")
    os.write(1, b"written")
    output.seal("x")
    output.restore()
    assert any(path.read_bytes() == b"written" for path in tmp_path.rglob("*") if path.is_file())
