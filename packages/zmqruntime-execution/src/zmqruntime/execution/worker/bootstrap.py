"""Starts a worker process, which imports its modules first and receives its setup later.

The first worker is prestarted: it imports while the server still imports. So this module imports
next to nothing itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping

from zmqruntime.execution.worker.start_marker import StartMarker

TYPE_CHECKING = False  # Importing `typing` would delay the start of a worker.

if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from zmqruntime.execution.worker.protocol import WorkerSetup

__all__ = [
    "StartingWorker",
    "WorkerProgram",
    "drop_prestarted",
    "find_python",
    "prestarted",
    "run_bootstrap",
    "take_prestarted",
]

# The import path is the first object in the pipe: the imports after it depend on it.
_CODE = (
    "import sys; "
    "sys.path = [part for part in sys.path if part]; "  # Not the current directory.
    "import os, pickle; "
    "pipe = os.fdopen(os.dup(0), 'rb'); "
    "sys.path = pickle.load(pipe); "
    "from zmqruntime.execution.worker.bootstrap import run_bootstrap; "
    "run_bootstrap(pipe)"
)


class WorkerProgram:
    """Command line and environment of all workers of one server, as a snapshot of its first start.

    Later changes of the server's working directory or environment do not affect its workers. A
    working directory that was removed is ignored.

    Args:
        module: the application's module; None: not known, and the worker imports the main script.
    """

    def __init__(self, module: str | None = None) -> None:
        self.module = module
        self.main = {} if module else _find_main()
        self.executable = _get_executable()
        self.python, environment = find_python(self.executable, windows=os.name == "nt")
        self.flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        self.environment = dict(environment or os.environ)
        self.directory = _get_directory()
        self.import_path = list(sys.path)
        self.arguments = list(sys.argv)
        self._file = _identify_file(self.python)

    def find_changes(self) -> list[str]:
        """Describe what has changed since the first start, as possible reasons of a failed one."""
        changes = []
        if _identify_file(self.python) != self._file:
            changes.append(
                f"{self.python} was replaced or removed since this server started: restart the "
                "server"
            )
        if self.directory is not None and not os.path.isdir(self.directory):  # noqa: PTH112
            changes.append(f"the working directory {self.directory} was removed")
        return changes


class StartingWorker:
    """A worker process that imports its modules and waits for its setup.

    It exits when its standard input ends before the setup, as it does when this process exits.

    Raises:
        OSError: the process cannot be started, or there is no Python to run.
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
        """Send the setup. A worker that has exited already is reported by its exit code alone."""
        self.has_setup = True
        self._send(setup)
        self.close_pipe()

    def close_pipe(self) -> None:
        """Close the worker's standard input: without a setup, the worker quits."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def kill(self) -> None:
        """Kill a worker without a setup, as its imports may take long, and wait for its end."""
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
    """Return the prestarted worker, and pass on the ownership; None: there is none, or no more."""
    return _prestarted.pop() if _prestarted else None


def drop_prestarted() -> None:
    """Let an unused prestarted worker quit."""
    if (worker := take_prestarted()) is not None:
        worker.close_pipe()


def find_python(executable: str, *, windows: bool) -> tuple[str, Mapping[str, str] | None]:
    """Return the Python to start, and its environment if it differs from this process's.

    On Windows the Python of a virtual environment is a launcher that starts the base Python as its
    child, so that its pid is not the worker's. The base Python is started instead, with the
    variable by which the launcher names the virtual environment.
    """
    base: str = getattr(sys, "_base_executable", executable)
    if not windows or executable != sys.executable or base == executable:
        return executable, None
    return base, {**os.environ, "__PYVENV_LAUNCHER__": executable}


def _inherit_output(number: int) -> int | None:
    """Return None to inherit a descriptor, or DEVNULL where this process has it closed."""
    try:
        os.fstat(number)
    except OSError:
        return subprocess.DEVNULL
    return None


def _get_executable() -> str:
    """Return this Python, or the one that was set by `multiprocessing.set_executable`."""
    spawn = sys.modules.get("multiprocessing.spawn")
    return sys.executable if spawn is None else os.fsdecode(spawn.get_executable())


def _check_executable(executable: str) -> None:
    if getattr(sys, "frozen", False) and executable == sys.executable:
        raise OSError(
            f"the frozen program {executable} cannot run a worker: set a Python that has the same "
            "packages, by multiprocessing.set_executable()"
        )


def _find_main() -> dict[str, str]:
    """Return the main script, in the form that `multiprocessing.spawn.prepare` takes."""
    # Not by `get_preparation_data`, which fails in a removed working directory.
    main = sys.modules["__main__"]
    if (spec := getattr(main, "__spec__", None)) is not None:
        return {"init_main_from_name": spec.name}
    if (path := getattr(main, "__file__", None)) is not None:
        return {"init_main_from_path": os.path.normpath(path)}
    return {}


def _get_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a Path takes long to import
    except OSError:  # It was removed.
        return None


def _identify_file(path: str) -> tuple[int, ...] | None:
    """Return values that differ when the file at a path is replaced; None: there is no file."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path takes long to import
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


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


# -- in the worker's process ------------------------------------------------------------------


def run_bootstrap(pipe: BinaryIO) -> None:
    """Import a worker's modules, then read the setup and run the worker; quit at end of file."""
    gc.disable()  # Imports create no garbage.
    _redirect_stdin()
    with pipe:
        if (arguments := _read(pipe)) is None:
            return
        # Helper processes of the application's modules and of `setup_worker` belong to run 0 of
        # this worker, which is nested in the run that started its server (`run_processes`).
        run = os.environ.get("ZMQRUNTIME_RUN", "")
        os.environ["ZMQRUNTIME_RUN"] = f"{run}/0"
        sys.argv, main, module, descriptor = arguments
        from zmqruntime.execution.worker.child.main import worker_main

        if main:
            _import_main(main)
        if module is not None:
            # Unpickling the server object imports the module again, and raises its error.
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        gc.enable()
        setup = _read(pipe)
    if setup is not None:
        start_marker = StartMarker(os.environ["ZMQRUNTIME_WORKER"], descriptor)
        start_marker.close_file()
        worker_main(setup, start_marker)


def _read(pipe: BinaryIO) -> Any:
    """Return the next object; None: the pipe was closed, perhaps within an object."""
    import pickle

    try:
        return pickle.load(pipe)
    except (EOFError, pickle.UnpicklingError):
        return None


def _redirect_stdin() -> None:
    """Redirect the standard input to the null device: the setup pipe is not for tasks."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _import_main(main: dict[str, str]) -> None:
    """Import the main script, as `multiprocessing` does, to unpickle its classes."""
    from multiprocessing import process, spawn

    importing = process.current_process()
    importing._inheriting = True  # type: ignore[attr-defined] # a server start in it is refused
    try:
        spawn.prepare(main)
    finally:
        del importing._inheriting  # type: ignore[attr-defined]
