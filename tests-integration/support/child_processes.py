"""Tasks that start child processes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

from applications import BEGUN, Workshop

from zmqruntime.execution import ExecutionContext
from zmqruntime.messages import JsonValue

__all__ = ["ForkingServer", "SpawningServer"]

SLEEPER = [sys.executable, "-c", "import time; time.sleep(3600)"]
IGNORES_SIGTERM = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
    "time.sleep(3600)",
]
# Starts another process in a session of its own, prints its pid, and ends.
DAEMON = (
    "import subprocess, sys; "
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'],"
    " start_new_session=True, stdout=subprocess.DEVNULL).pid)"
)


# Starts a process for each line of its input, and prints its pid.
HELPER = (
    "import subprocess, sys\n"
    "for line in sys.stdin:\n"
    "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])\n"
    "    print(child.pid, flush=True)"
)


class SpawningServer(Workshop):
    """A workshop whose tasks start processes; a task that waits for a cancel reports their pids."""

    def setup_worker(self) -> None:
        super().setup_worker()
        self._helper = subprocess.Popen(
            [sys.executable, "-c", HELPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do_leave_child(self, context: ExecutionContext, keep: bool = False) -> JsonValue:
        """Complete, and leave a child process running."""
        child = subprocess.Popen(SLEEPER)
        if keep:
            context.keep(child)
        return child.pid

    def do_children(self, context: ExecutionContext, kind: str, end: str = "wait") -> JsonValue:
        """Start processes, report their pids, and wait, fail or crash."""
        pids = getattr(self, f"_start_{kind}")(context)
        context.report_progress(phase=BEGUN, data={"pids": pids})
        if end == "fail":
            raise ValueError("this task fails")
        if end == "crash":
            os._exit(3)
        time.sleep(3600)
        return None

    def _start_plain(self, context: ExecutionContext) -> list[int]:
        return [subprocess.Popen(SLEEPER).pid]

    def _start_kept(self, context: ExecutionContext) -> list[int]:
        child = subprocess.Popen(SLEEPER)
        context.keep(child)
        return [child.pid]

    def _start_ignoring_sigterm(self, context: ExecutionContext) -> list[int]:
        child = subprocess.Popen(IGNORES_SIGTERM, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        return [child.pid]

    def _start_shell(self, context: ExecutionContext) -> list[int]:
        command = f"'{sys.executable}' -c 'import time; time.sleep(3600)' & echo $!; wait"
        shell = subprocess.Popen(command, shell=True, stdout=subprocess.PIPE)
        assert shell.stdout is not None
        return [shell.pid, int(shell.stdout.readline())]

    def _start_daemon(self, context: ExecutionContext) -> list[int]:
        return [int(subprocess.check_output([sys.executable, "-c", DAEMON]))]

    def _start_by_helper(self, context: ExecutionContext) -> list[int]:
        assert self._helper.stdin is not None
        assert self._helper.stdout is not None
        print(file=self._helper.stdin, flush=True)
        return [int(self._helper.stdout.readline())]

    def _start_nested(self, context: ExecutionContext) -> list[int]:
        """Start a process as a worker of a nested server does."""
        run = f"{os.environ['ZMQRUNTIME_RUN']}/1"
        return [subprocess.Popen(SLEEPER, env=os.environ | {"ZMQRUNTIME_RUN": run}).pid]

    def _start_forked(self, context: ExecutionContext) -> list[int]:
        fork = multiprocessing.get_context("fork")
        child = fork.Process(target=time.sleep, args=(3600,))
        child.start()
        assert child.pid is not None
        return [child.pid]

    def do_program(self, context: ExecutionContext, path: str) -> JsonValue:
        """Run a program, which writes its pid to a file, until the task is cancelled."""
        context.report_progress(phase=BEGUN)
        code = f"import os, pathlib, time; pathlib.Path({path!r}).write_text(str(os.getpid())); "
        context.run([sys.executable, "-c", code + "time.sleep(3600)"])
        return None

    def do_print_by_program(self, context: ExecutionContext, text: str) -> JsonValue:
        done = context.run([sys.executable, "-c", f"print({text!r})"], check=True)
        return done.returncode

    def do_fork(self, context: ExecutionContext, way: str) -> JsonValue:
        """Fork a child that leaves this method in some way; return its exit code."""
        print("before", flush=True)
        child = os.fork()
        if child == 0:
            print(f"child {way}")
            if way == "exits":
                sys.exit(7)
            if way == "raises":
                raise KeyError("in the child")
            return "from the child"
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    def do_shared_memory(self, context: ExecutionContext, end: str) -> JsonValue:
        memory = SharedMemory(create=True, size=1024)
        name = memory.name.lstrip("/")
        with context.shield():  # So that a cancel has to kill the worker.
            context.report_progress(phase=BEGUN, data={"name": name})
            if end == "crash":
                os._exit(3)
            if end == "kill":
                time.sleep(3600)
        return name


class ForkingServer(Workshop):
    """Forks children in `setup_worker` and in `serialize_result`."""

    def setup_worker(self) -> None:
        super().setup_worker()
        self.codes: list[JsonValue] = []
        for way in ("returns", "exits", "raises"):
            if (code := _fork(way)) is None:
                return
            self.codes.append(code)

    def do_fork_codes(self, context: ExecutionContext) -> JsonValue:
        return self.codes

    def serialize_result(self, result: JsonValue) -> JsonValue:
        return None if (code := _fork("exits")) is None else [result, code]


def _fork(way: str) -> int | None:
    """Return the exit code of a child that leaves this function in some way; None in the child."""
    if (child := os.fork()) == 0:
        if way == "exits":
            sys.exit(0)
        if way == "raises":
            raise KeyError("in the child")
        return None
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def is_in_shared_memory(name: str) -> bool:
    """Whether a block of shared memory exists (Linux)."""
    return Path("/dev/shm", name).exists()
