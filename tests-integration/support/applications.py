"""Server classes for tests. Servers and their workers import this module."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import math
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zmqruntime.execution import (
    ExecuteRequest,
    ExecutionContext,
    ExecutionServer,
    InMemoryLifecycleEngine,
    LifecycleEngine,
    ProgressReporter,
    TaskCancelled,
)
from zmqruntime.messages import JsonObject, JsonValue

__all__ = [
    "CrashingSetup",
    "Described",
    "FailingSetup",
    "FakeDurable",
    "LongGrace",
    "Requeueing",
    "ShortGrace",
    "ShortHistory",
    "ShortQueue",
    "SlowSetup",
    "Workshop",
]

BEGUN = "begun"
"""The phase that a task reports when its test may go on."""

FOREVER = 3600.0


class Workshop(ExecutionServer):
    """Calls the method that a task's ``do`` names, with the other fields as arguments."""

    def setup_worker(self) -> None:
        self.setups = getattr(self, "setups", 0) + 1
        self.calls = 0

    def execute_task(self, request: ExecuteRequest, context: ExecutionContext) -> JsonValue:
        self.calls += 1
        arguments = dict(request.task)
        job = getattr(self, f"do_{arguments.pop('do')}")
        result: JsonValue = job(context, **arguments)
        return result

    # -- tasks that end -----------------------------------------------------------------------

    def do_echo(self, context: ExecutionContext, value: JsonValue = None) -> JsonValue:
        return value

    def do_count(self, context: ExecutionContext, steps: int) -> JsonValue:
        for step in range(1, steps + 1):
            context.report_progress(step, steps, phase="count", message=f"step {step}")
        return steps

    def do_count_and_mark(self, context: ExecutionContext, path: str) -> JsonValue:
        """Report 30,000 steps and create a file."""
        steps = 30_000
        for step in range(1, steps + 1):
            context.report_progress(step)
        Path(path).touch()
        return steps

    def do_describe(self, context: ExecutionContext) -> JsonValue:
        return {
            "pid": os.getpid(),
            "setups": self.setups,
            "calls": self.calls,
            "main_thread": threading.current_thread() is threading.main_thread(),
        }

    def do_imported(self, context: ExecutionContext, names: list[str]) -> JsonValue:
        return [name for name in names if name in sys.modules]

    def do_report(self, context: ExecutionContext, **fields: Any) -> JsonValue:
        context.report_progress(**fields)
        return None

    def do_fail(
        self, context: ExecutionContext, message: str, after: str | None = None
    ) -> JsonValue:
        """Fail, after the file ``after`` exists."""
        if after is not None:
            self.do_wait_for(context, after)
        raise ValueError(message)

    def do_raise(self, context: ExecutionContext, kind: str) -> JsonValue:
        raise _RAISED[kind]

    def do_return(self, context: ExecutionContext, kind: str) -> Any:
        return _RETURNED[kind]()

    def do_letters(self, context: ExecutionContext, count: int) -> JsonValue:
        return "x" * count

    def do_wait_for(self, context: ExecutionContext, path: str) -> JsonValue:
        """Return when a file exists."""
        context.report_progress(phase=BEGUN)
        while not Path(path).exists():
            time.sleep(0.005)
        return "seen"

    # -- tasks that have to be cancelled ---------------------------------------------------------

    def do_spin(self, context: ExecutionContext) -> JsonValue:
        context.report_progress(phase=BEGUN)
        while True:
            pass

    def do_sleep(self, context: ExecutionContext) -> JsonValue:
        context.report_progress(phase=BEGUN)
        time.sleep(FOREVER)
        return "slept"

    def do_print(self, context: ExecutionContext, text: str) -> JsonValue:
        print(text)
        return self.do_sleep(context)

    def do_poll_cancel(self, context: ExecutionContext) -> JsonValue:
        """Return when a cancel is requested."""
        with context.shield():
            context.report_progress(phase=BEGUN)
            while not context.cancel_requested:
                time.sleep(0.005)
        return "cancel seen"

    def do_clean_up(self, context: ExecutionContext, path: str) -> JsonValue:
        try:
            context.report_progress(phase=BEGUN)
            time.sleep(FOREVER)
        except TaskCancelled:
            Path(path).write_text("cleaned up")
            raise
        return None

    def do_compute(self, context: ExecutionContext) -> JsonValue:
        """Run C code that releases the GIL and cannot be interrupted."""
        with context.shield():
            context.report_progress(phase=BEGUN)
            return hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2**31 - 1).hex()

    def do_hold_the_lock(self, context: ExecutionContext) -> JsonValue:
        """Run C code that holds the GIL, so that no other thread runs."""
        with context.shield():
            context.report_progress(phase=BEGUN)
            return sum(itertools.repeat(0, 10**15))

    def do_ignore_interrupts(self, context: ExecutionContext, children: int = 0) -> JsonValue:
        """Ignore every interrupt, with running child processes."""
        pids: list[JsonValue] = [_start_child().pid for _ in range(children)]
        reported = False
        while True:
            with contextlib.suppress(BaseException):
                if not reported:
                    reported = True
                    context.report_progress(phase=BEGUN, data={"pids": pids})
                time.sleep(FOREVER)

    def do_hold_children(self, context: ExecutionContext) -> JsonValue:
        """Run a child process and an orphan process."""
        child = _start_child()
        orphan = int(subprocess.check_output([sys.executable, "-c", _MAKE_ORPHAN], text=True))
        context.report_progress(phase=BEGUN, data={"pids": [child.pid, orphan]})
        time.sleep(FOREVER)
        return None

    # -- tasks that crash ------------------------------------------------------------------------

    def do_segfault(self, context: ExecutionContext) -> JsonValue:
        ctypes.string_at(0)
        return None

    def do_exit(self, context: ExecutionContext, code: int) -> JsonValue:
        os._exit(code)

    def do_abort(self, context: ExecutionContext) -> JsonValue:
        os.abort()

    def do_exhaust_memory(self, context: ExecutionContext) -> JsonValue:
        with _limited_memory(256 * 2**20):
            return len(bytearray(2**40))

    # -- tasks that report from other threads or processes ----------------------------------------

    def do_report_from_threads(
        self, context: ExecutionContext, threads: int, each: int
    ) -> JsonValue:
        def report(thread: int) -> None:
            for n in range(each):
                context.report_progress(n + 1, each, data={"thread": thread})

        running = [threading.Thread(target=report, args=(n,)) for n in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return threads * each

    def do_report_from_process(self, context: ExecutionContext, each: int) -> JsonValue:
        spawn = multiprocessing.get_context("spawn")
        child = spawn.Process(target=report_from_process, args=(context.reporter, each))
        child.start()
        child.join()
        return child.exitcode


def report_from_process(reporter: ProgressReporter, each: int) -> None:
    for n in range(each):
        reporter.report(n + 1, each, phase="child", data={"pid": os.getpid()})


class ShortGrace(Workshop):
    """Has a short grace period."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, cancel_grace_seconds=0.3, **kwargs)


class Requeueing(Workshop):
    """Requeues interrupted executions at a restart."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, on_restart="requeue", **kwargs)


class LongGrace(Workshop):
    """Has an endless grace period."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, cancel_grace_seconds=FOREVER, **kwargs)


class FakeDurable(Workshop):
    """Has an engine that claims to be durable, and loses all executions at a restart."""

    class Engine(InMemoryLifecycleEngine):
        @property
        def durable(self) -> bool:
            return True

    def make_engine(self) -> LifecycleEngine:
        return self.Engine()


class ShortHistory(Workshop):
    """Keeps three ended executions whose records were read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, history_limit=3, **kwargs)


class ShortQueue(Workshop):
    """Has a queue of two executions."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, max_queued=2, **kwargs)


class FailingSetup(Workshop):
    """Fails in `setup_worker`."""

    def setup_worker(self) -> None:
        raise FileNotFoundError("the model file is not there")


class CrashingSetup(Workshop):
    """Exits in `setup_worker`."""

    def setup_worker(self) -> None:
        os._exit(23)


class SlowSetup(Workshop):
    """Waits in `setup_worker` for a file that the environment names."""

    def setup_worker(self) -> None:
        super().setup_worker()
        begun = Path(os.environ["SETUP_BEGUN"])
        begun.touch()
        while not begun.with_suffix(".go").exists():
            time.sleep(0.005)


class Described(Workshop):
    """Adds details to its pong."""

    def describe(self) -> JsonObject:
        return {"motto": "few words"}


class _NoMessage(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


_RAISED: dict[str, BaseException] = {
    "interrupt": KeyboardInterrupt("raised by the task"),
    "exit": SystemExit(3),
    "group": ExceptionGroup("two at once", [ValueError("one"), TypeError("two")]),
    "surrogate": ValueError("a name that is not UTF-8: \udcff"),
    "no message": _NoMessage(),
}


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


_RETURNED: dict[str, Any] = {
    "generator": lambda: (n for n in range(2)),
    "bytes": lambda: b"\xff",
    "nan": lambda: {"a": [1.0, math.nan]},
    "infinity": lambda: math.inf,
    "tuple key": lambda: {(1, 2): "one"},
    "cycle": _cycle,
    "surrogate": lambda: "\udcff",
    "object": lambda: {"a": {"b": object()}},
}

_SLEEP = f"import time; time.sleep({FOREVER})"

_MAKE_ORPHAN = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {_SLEEP!r}], stdout=subprocess.DEVNULL)
print(child.pid)
"""


def _start_child() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _SLEEP])


@contextlib.contextmanager
def _limited_memory(room: int) -> Iterator[None]:
    """Limit the growth of this process to ``room`` bytes (POSIX)."""
    import resource

    import psutil

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
