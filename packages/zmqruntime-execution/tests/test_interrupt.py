"""An interrupt is raised in its own task, wherever that blocks or computes, and in no other."""

from __future__ import annotations

import contextlib
import importlib
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from signalling import installed, run_armed, when

from zmqruntime.execution import TaskCancelled
from zmqruntime.execution.lowlevel import Interrupt


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    with installed() as interrupt:
        yield interrupt


def spin() -> None:
    while True:
        pass


@contextlib.contextmanager
def a_loop() -> Iterator[Callable[[], object]]:
    yield spin


@contextlib.contextmanager
def a_sleep() -> Iterator[Callable[[], object]]:
    yield lambda: time.sleep(1000)


@contextlib.contextmanager
def an_event() -> Iterator[Callable[[], object]]:
    yield threading.Event().wait


@contextlib.contextmanager
def a_lock() -> Iterator[Callable[[], object]]:
    lock = threading.Lock()
    with lock:
        yield lock.acquire


@contextlib.contextmanager
def a_queue() -> Iterator[Callable[[], object]]:
    yield queue.Queue[None]().get


@contextlib.contextmanager
def a_socket() -> Iterator[Callable[[], object]]:
    one, other = socket.socketpair()
    with one, other:
        yield lambda: one.recv(1)


@contextlib.contextmanager
def a_process() -> Iterator[Callable[[], object]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.wait


BLOCKING = [a_sleep, an_event, a_lock, a_queue, a_socket, a_process]


@pytest.mark.parametrize("wait", [a_loop, *(BLOCKING if hasattr(signal, "pthread_kill") else [])])
def test_interrupt_reaches_a_task_that_computes_or_blocks(
    interrupt: Interrupt, wait: Callable[[], AbstractContextManager[Callable[[], object]]]
) -> None:
    def body(stop: Callable[[], None]) -> None:
        stop()
        block()

    with wait() as block:
        cancelled = run_armed(interrupt, body)
    assert "execution a was interrupted" in str(cancelled)
    assert interrupt.seen


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs pthread_kill")
def test_signal_that_is_lost_before_a_blocking_call_is_sent_again(
    interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = signal.pthread_kill
    calls: list[int] = []

    def lose_the_first(thread: int, signum: int) -> None:
        calls.append(signum)
        if len(calls) > 1:
            kill(thread, signum)

    def body(stop: Callable[[], None]) -> None:
        stop()
        time.sleep(1000)

    monkeypatch.setattr(signal, "pthread_kill", lose_the_first)
    assert run_armed(interrupt, body)
    assert len(calls) >= 2


def test_signal_is_not_sent_again_after_its_delivery(
    interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first and the last delay until a signal is sent again.
    monkeypatch.setattr("zmqruntime.execution.worker.child.interrupt._FIRST_RESEND_SECONDS", 60.0)
    monkeypatch.setattr("zmqruntime.execution.worker.child.interrupt._MAX_RESEND_SECONDS", 6000.0)
    signal_main_thread = interrupt._signal_main_thread

    def count_and_signal() -> None:
        signals.append(1)
        signal_main_thread()

    monkeypatch.setattr(interrupt, "_signal_main_thread", count_and_signal)

    def body(_: Callable[[], None]) -> None:
        with interrupt.shielded(), when(request) as go:
            go()
            while not sent:
                pass

    def request() -> None:
        begin = time.monotonic()
        assert interrupt.request("a")
        sent.append(time.monotonic() - begin)

    signals: list[int] = []
    sent: list[float] = []
    assert run_armed(interrupt, body)
    assert len(signals) == 1
    assert sent[0] < 60


def test_interrupt_of_another_execution_does_not_reach_the_running_task(
    interrupt: Interrupt,
) -> None:
    def body(_: Callable[[], None]) -> None:
        with when(lambda: answers.append(interrupt.request("another"))) as go:
            go()
        assert not interrupt.requested

    answers: list[bool] = []
    assert run_armed(interrupt, body) is None
    assert answers == [False]
    assert not interrupt.seen


def test_task_that_is_interrupted_before_its_start_does_not_run(interrupt: Interrupt) -> None:
    assert interrupt.request("a") is False
    assert run_armed(interrupt, lambda _: pytest.fail("it ran"))
    assert interrupt.seen


def test_early_interrupt_does_not_affect_a_later_run_of_the_same_id(interrupt: Interrupt) -> None:
    interrupt.request("a")
    assert run_armed(interrupt, lambda _: pytest.fail("it ran"))
    assert run_armed(interrupt, lambda _: None) is None


def test_signal_at_the_end_of_a_task_does_not_reach_the_next_run(interrupt: Interrupt) -> None:
    armed = interrupt.armed("a")
    armed.__enter__()
    with pytest.raises(TaskCancelled):  # Before `__exit__` does anything.
        interrupt.request("a")  # In the main thread, where the handler runs immediately.
    for _ in range(2):  # As the caller that catches it does; idempotent.
        interrupt.disarm("a")
    assert run_armed(interrupt, lambda _: None) is None


def test_late_interrupt_does_not_reach_the_next_task(interrupt: Interrupt) -> None:
    assert run_armed(interrupt, lambda _: None, "a") is None
    assert interrupt.request("a") is False
    assert run_armed(interrupt, lambda _: None, "b") is None
    assert not interrupt.seen


def test_id_can_be_reused_after_an_interrupt(interrupt: Interrupt) -> None:
    def body(stop: Callable[[], None]) -> None:
        stop()
        spin()

    for _ in range(2):
        assert run_armed(interrupt, body)
        assert run_armed(interrupt, lambda _: None) is None


def test_interrupt_is_raised_once_however_often_it_is_requested(interrupt: Interrupt) -> None:
    def body(stop: Callable[[], None]) -> None:
        try:
            stop()
            spin()
        except TaskCancelled:
            for _ in range(3):
                interrupt.request("a")

    assert run_armed(interrupt, body) is None  # The task has caught it.
    assert interrupt.seen


def test_interrupt_that_races_with_the_end_of_its_task_reaches_no_other(
    interrupt: Interrupt,
) -> None:
    # The next task starts right after the end of the interrupted one.
    for n in range(300):

        def body(stop: Callable[[], None], n: int = n) -> None:
            stop()
            for _ in range(n * 7 % 500):
                pass

        cancelled = run_armed(interrupt, body, f"{n}")
        assert interrupt.seen is (cancelled is not None)
        assert cancelled is None or f"execution {n} was interrupted" in str(cancelled)
        assert run_armed(interrupt, lambda _: sum(range(1000)), f"next to {n}") is None


def test_shield_defers_an_interrupt_to_its_end(interrupt: Interrupt) -> None:
    def body(stop: Callable[[], None]) -> None:
        with interrupt.shielded():
            stop()
            while not (interrupt.requested and interrupt._delivered):
                pass
            steps.append("done")
        steps.append("never")

    steps: list[str] = []
    assert run_armed(interrupt, body)
    assert steps == ["done"]


def test_nested_shields_defer_to_the_end_of_the_outermost(interrupt: Interrupt) -> None:
    def body(_: Callable[[], None]) -> None:
        with interrupt.shielded():
            with interrupt.shielded():
                interrupt.request("a")
                steps.append("inner")
            steps.append("outer")
        steps.append("never")

    steps: list[str] = []
    assert run_armed(interrupt, body)
    assert steps == ["inner", "outer"]


def test_shield_without_an_interrupt_has_no_effect(interrupt: Interrupt) -> None:
    def body(_: Callable[[], None]) -> None:
        with interrupt.shielded():
            pass

    assert run_armed(interrupt, body) is None
    assert not interrupt.seen


def test_exception_of_a_shielded_block_is_the_context_of_the_interrupt(
    interrupt: Interrupt,
) -> None:
    def body(_: Callable[[], None]) -> None:
        with interrupt.shielded():
            interrupt.request("a")
            raise OSError("disk full")

    cancelled = run_armed(interrupt, body)
    assert cancelled
    assert isinstance(cancelled.__context__, OSError)


def test_shield_in_another_thread_has_no_effect(interrupt: Interrupt) -> None:
    def hold() -> None:
        with interrupt.shielded():
            shielded.set()
            release.wait()

    def body(stop: Callable[[], None]) -> None:
        thread.start()
        shielded.wait()
        stop()
        time.sleep(1000)

    shielded, release = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold)
    assert run_armed(interrupt, body)
    release.set()
    thread.join()


def test_open_shield_of_an_earlier_task_has_no_effect(interrupt: Interrupt) -> None:
    def body(stop: Callable[[], None]) -> None:
        stop()
        time.sleep(1000)

    assert run_armed(interrupt, lambda _: interrupt.shielded().__enter__(), "a") is None
    assert run_armed(interrupt, body, "b")


def test_reading_the_flag_marks_the_interrupt_as_seen(interrupt: Interrupt) -> None:
    def body(_: Callable[[], None]) -> None:
        with interrupt.shielded():
            interrupt.request("a")
            seen.append(interrupt.seen)
            assert interrupt.requested
            seen.append(interrupt.seen)

    seen: list[bool] = []
    assert run_armed(interrupt, body)
    assert seen == [False, True]


def test_foreign_signal_does_not_interrupt_a_task(interrupt: Interrupt) -> None:
    signal.raise_signal(signal.SIGINT)
    assert run_armed(interrupt, lambda _: signal.raise_signal(signal.SIGINT)) is None
    assert not interrupt.seen


def test_threads_of_a_task_are_not_interrupted(interrupt: Interrupt) -> None:
    def work() -> None:
        release.wait()
        results.put("finished")

    def body(stop: Callable[[], None]) -> None:
        threading.Thread(target=work).start()
        stop()
        time.sleep(1000)

    release = threading.Event()
    results: queue.Queue[str] = queue.Queue()
    assert run_armed(interrupt, body)
    release.set()
    assert results.get(timeout=60) == "finished"


@pytest.mark.parametrize("patience", [0.0, 0.05])
def test_import_is_interrupted_after_its_patience(
    interrupt: Interrupt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    # The module requests the interrupt: an earlier one may hit the import system while it opens
    # the source file, which then stays open until it is collected (ResourceWarning).
    code = "import sys, time\nsys.zmqruntime_stop()\nwhile True: time.sleep(0.01)\n"
    (tmp_path / "zmqruntime_endless.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    interrupt.import_patience = patience

    def body(stop: Callable[[], None]) -> None:
        monkeypatch.setattr(sys, "zmqruntime_stop", stop, raising=False)
        importlib.import_module("zmqruntime_endless")

    for _ in range(2):
        assert run_armed(interrupt, body)
        assert interrupt.seen


def test_import_that_ends_within_its_patience_is_not_interrupted(
    interrupt: Interrupt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys\nwhile not sys.zmqruntime_interrupt._was_deferred: pass\nended = True\n"
    (tmp_path / "zmqruntime_slow.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "zmqruntime_interrupt", interrupt, raising=False)
    interrupt.import_patience = 60.0

    def body(stop: Callable[[], None]) -> None:
        stop()
        importlib.import_module("zmqruntime_slow")
        spin()

    assert run_armed(interrupt, body)
    assert sys.modules.pop("zmqruntime_slow").ended
