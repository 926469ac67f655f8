"""Starts a worker process, which imports its modules first and receives its setup later.

The first worker is prestarted: it imports while the server still imports. So this module keeps its
own imports minimal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from zmqruntime.execution.worker.parent.worker_program import WorkerProgram
from zmqruntime.execution.worker.start_marker import StartMarker

TYPE_CHECKING = False  # Importing `typing` would delay the start of a worker.

if TYPE_CHECKING:
    from zmqruntime.execution.worker.protocol import WorkerSetup

__all__ = ["StartingWorker", "drop_prestarted", "prestarted", "take_prestarted"]

# The import path is the first object in the pipe: the imports after it depend on it.
_CODE = (
    "import sys; "
    "sys.path = [part for part in sys.path if part]; "  # Not the current directory.
    "import os, pickle; "
    "pipe = os.fdopen(os.dup(0), 'rb'); "
    "sys.path = pickle.load(pipe); "
    "from zmqruntime.execution.worker.child.bootstrap import run_bootstrap; "
    "run_bootstrap(pipe)"
)


class StartingWorker:
    """A worker process that imports its modules and waits for its setup.

    It exits when its standard input ends before the setup, as it does when this process exits.

    Raises:
        OSError: the process cannot be started, or a frozen program has no Python interpreter.
    """

    def __init__(self, program: WorkerProgram) -> None:
        self.program = program
        self.has_setup = False
        """Whether the setup was sent."""
        _check_executable(program.executable)
        self.mark = f"zmqruntime-worker-{os.urandom(16).hex()}"
        """Unique mark in the command line of this process, and in its environment, which its
        descendants inherit (see `transport.process.process_tree`, too slow to import here)."""
        directory = program.directory
        if directory is not None and not os.path.isdir(directory):  # noqa: PTH112 - no Path here
            directory = None
        self.start_marker = StartMarker(self.mark)
        descriptor = self.start_marker.descriptor
        try:
            with _block_sigint():
                self.process = subprocess.Popen(
                    [program.python, *program.flags, "-c", _CODE, self.mark],
                    stdin=subprocess.PIPE,
                    stdout=_inherit_output(1),
                    stderr=_inherit_output(2),
                    env={**program.environment, "ZMQRUNTIME_WORKER": self.mark},
                    cwd=directory,
                    pass_fds=() if descriptor is None else (descriptor,),
                )
        finally:
            self.start_marker.close_file()
        self._send(program.import_path)
        self._send((program.arguments, program.main, program.module, descriptor))

    def send_setup(self, setup: WorkerSetup) -> None:
        """Send the setup. Errors are ignored: the exit code reports a worker that has exited."""
        self.has_setup = True
        self._send(setup)
        self.close_pipe()

    def close_pipe(self) -> None:
        """Close the worker's standard input: without a setup, the worker quits."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def kill(self) -> None:
        """Kill a worker without a setup, whose imports may take long, and wait for its exit."""
        self.close_pipe()
        self.process.kill()
        self.process.wait()

    def _send(self, value: object) -> None:
        import pickle  # Not above: the process is started before.

        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            pickle.dump(value, self.process.stdin)
            self.process.stdin.flush()


_prestarted: list[StartingWorker] = []


@contextlib.contextmanager
def prestarted(module: str | None) -> Iterator[None]:
    """Prestart the worker of the server that is created in this block; kill it if it is unused.

    Args:
        module: the application's module; None: not known, and no worker is prestarted.
    """
    if module is None:
        yield
        return
    try:
        worker = StartingWorker(WorkerProgram(module))
    except OSError:  # The start of the server's own worker raises it again.
        yield
        return
    _prestarted.append(worker)
    try:
        yield
    finally:
        _prestarted.clear()
        if not worker.has_setup:
            worker.kill()


def take_prestarted() -> StartingWorker | None:
    """Return the prestarted worker, which the caller then owns; None if missing or taken."""
    return _prestarted.pop() if _prestarted else None


def drop_prestarted() -> None:
    """Make an unused prestarted worker quit."""
    if (worker := take_prestarted()) is not None:
        worker.close_pipe()


def _inherit_output(number: int) -> int | None:
    """Return None to inherit a descriptor, or DEVNULL if it is closed in this process."""
    try:
        os.fstat(number)
    except OSError:
        return subprocess.DEVNULL
    return None


def _check_executable(executable: str) -> None:
    if getattr(sys, "frozen", False) and executable == sys.executable:
        raise OSError(
            f"the frozen program {executable} cannot run a worker: set a Python that has the same "
            "packages, by multiprocessing.set_executable()"
        )


@contextlib.contextmanager
def _block_sigint() -> Iterator[None]:
    """Block SIGINT in a child, which inherits the mask, until the child handles it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
