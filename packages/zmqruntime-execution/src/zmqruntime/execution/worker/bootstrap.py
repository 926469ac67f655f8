"""How a worker process begins: before it is told whose it is, since what it imports takes longest.

Imports next to nothing itself, so that a server can begin its first worker before all else.
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

from zmqruntime.execution.worker.begun_tasks import BegunTasks

TYPE_CHECKING = False  # To load `typing` would put off a worker's beginning.

if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from zmqruntime.execution.worker.protocol import WorkerSetup

__all__ = [
    "BegunWorker",
    "WorkerProgram",
    "become_worker",
    "begun_ahead",
    "drop_begun",
    "python_of",
    "take_begun",
]

# The import path comes first of all that is given: by it the worker finds the rest of this.
_PROGRAM = (
    "import sys; "
    "sys.path = [part for part in sys.path if part]; "  # The current directory comes first.
    "import os, pickle; "
    "given = os.fdopen(os.dup(0), 'rb'); "
    "sys.path = pickle.load(given); "
    "from zmqruntime.execution.worker.bootstrap import become_worker; "
    "become_worker(given)"
)


class WorkerProgram:
    """What the workers of one server are started with: every one of them with what the first had.

    The server's process may change its directory and its environment later, and does so without an
    effect on workers. One thing is not kept: a directory that was removed.

    Args:
        module: the application's, if that is known by now; then nothing that the worker is given
            comes from the main script.
    """

    def __init__(self, module: str | None = None) -> None:
        self.module = module
        self.main = {} if module else _find_main()
        self.executable = _executable()
        self.python, environment = python_of(self.executable, windows=os.name == "nt")
        self.flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        self.environment = dict(environment or os.environ)
        self.directory = _get_directory()
        self.import_path = list(sys.path)
        self.arguments = list(sys.argv)
        self._file = _identify(self.python)

    def find_changes(self) -> list[str]:
        """Return what is not as it was at the first start, in words, and may be why one fails."""
        changes = []
        if _identify(self.python) != self._file:
            changes.append(
                f"{self.python} was replaced or removed since this server started: restart the "
                "server"
            )
        if self.directory is not None and not os.path.isdir(self.directory):  # noqa: PTH112
            changes.append(f"the working directory {self.directory} was removed")
        return changes


class BegunWorker:
    """A process that imports what a worker needs and waits to be told what to be.

    It ends by itself when this process does, or has dropped it.

    Raises:
        OSError: the system starts no process, or there is no Python to start.
    """

    def __init__(self, program: WorkerProgram) -> None:
        self.program = program
        self.has_work = False
        """Whether it was told what to be."""
        _check_executable(program.executable)
        self.mark = f"zmqruntime-worker-{os.urandom(16).hex()}"
        """In the command line of this process and of no other; in its environment and in that of
        all that it starts (`transport.process_tree`, which is not imported here: it takes long)."""
        directory = program.directory
        if directory is not None and not os.path.isdir(directory):  # noqa: PTH112 - no Path here
            directory = None
        self.tasks = BegunTasks(self.mark)
        descriptor = self.tasks.descriptor
        try:
            with _without_interrupts():
                self.process = subprocess.Popen(
                    [program.python, *program.flags, "-c", _PROGRAM, self.mark],
                    stdin=subprocess.PIPE,
                    stdout=_output(1),
                    stderr=_output(2),
                    env={**program.environment, "ZMQRUNTIME_WORKER": self.mark},
                    cwd=directory,
                    pass_fds=() if descriptor is None else (descriptor,),
                )
        finally:
            self.tasks.close_file()
        self._tell(program.import_path)
        self._tell((program.arguments, program.main, program.module, descriptor))

    def give(self, setup: WorkerSetup) -> None:
        """Tell it what to be; its exit code tells if it has ended before."""
        self.has_work = True
        self._tell(setup)
        self.drop()

    def drop(self) -> None:
        """Tell it nothing more: it ends, unless it was told what to be."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def end(self) -> None:
        """End it at once: it was told nothing, and may not come to an end of what it imports."""
        self.drop()
        self.process.kill()
        self.process.wait()

    def _tell(self, what: object) -> None:
        import pickle  # Not above: the process is begun before.

        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            pickle.dump(what, self.process.stdin)
            self.process.stdin.flush()


_begun: list[BegunWorker] = []


@contextlib.contextmanager
def begun_ahead(module: str | None) -> Iterator[None]:
    """Begin the worker of the server that is made in this block; one without work ends with it.

    Args:
        module: the application's; None: it is not known, and nothing is begun.
    """
    if module is None:
        yield
        return
    try:
        begun = BegunWorker(WorkerProgram(module))
    except OSError:  # Told by the one that is begun for the server, if it is.
        yield
        return
    _begun.append(begun)
    try:
        yield
    finally:
        _begun.clear()
        if not begun.has_work:
            begun.end()


def take_begun() -> BegunWorker | None:
    """Return the worker that was begun ahead, once."""
    return _begun.pop() if _begun else None


def drop_begun() -> None:
    """Let a worker that was begun ahead, and that nobody took, end."""
    if (begun := take_begun()) is not None:
        begun.drop()


def python_of(executable: str, *, windows: bool) -> tuple[str, Mapping[str, str] | None]:
    """Return what runs as a process of its own, and its environment if that is not this one's.

    On Windows the Python of a virtual environment only starts another one, and waits for it: its
    pid would not be the worker's. So that other one is started, and told where it belongs.
    """
    base: str = getattr(sys, "_base_executable", executable)
    if not windows or executable != sys.executable or base == executable:
        return executable, None
    return base, {**os.environ, "__PYVENV_LAUNCHER__": executable}


def _output(number: int) -> int | None:
    """Return what stands for a standard output that this process does not have; None: it has it."""
    try:
        os.fstat(number)
    except OSError:
        return subprocess.DEVNULL
    return None


def _executable() -> str:
    """Return this Python, or what a program that embeds it has named by `multiprocessing`."""
    spawn = sys.modules.get("multiprocessing.spawn")
    return sys.executable if spawn is None else os.fsdecode(spawn.get_executable())


def _check_executable(executable: str) -> None:
    if getattr(sys, "frozen", False) and executable == sys.executable:
        raise OSError(
            "this program is frozen, so it is no Python that runs a worker: name one that has the "
            "same packages, by multiprocessing.set_executable()"
        )


def _find_main() -> dict[str, str]:
    """Return where the main script is, in the words of `multiprocessing.spawn.prepare`."""
    # Not by `get_preparation_data`: it fails where the working directory was removed.
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


def _identify(path: str) -> tuple[int, ...] | None:
    """Return what differs when another program is installed at a path; None: there is nothing."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path takes long to import
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let no Ctrl-C reach a child, which inherits this, before it can tell what to do."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- in the worker's process ------------------------------------------------------------------


def become_worker(given: BinaryIO) -> None:
    """Import what a worker needs, then be what this process is told to be, if it is."""
    gc.disable()  # Nothing of what is imported is garbage.
    _leave_stdin()
    with given:
        if (beginning := _read(given)) is None:
            return
        # Helpers of the application's modules and of `setup_worker` are of no run, nor is what
        # they start later (`children`). Run 0 of this worker, inside the run that started its
        # server, if any.
        run = os.environ.get("ZMQRUNTIME_RUN", "")
        os.environ["ZMQRUNTIME_RUN"] = f"{run}/0"
        sys.argv, main, module, descriptor = beginning
        from zmqruntime.execution.worker.child.main import worker_main

        if main:
            _import_main(main)
        if module is not None:
            # What is wrong with it is told when the server's object is read.
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        gc.enable()
        setup = _read(given)
    if setup is not None:
        tasks = BegunTasks(os.environ["ZMQRUNTIME_WORKER"], descriptor)
        tasks.close_file()
        worker_main(setup, tasks)


def _read(given: BinaryIO) -> Any:
    """Return what this process is told next; None: it is told nothing more."""
    import pickle

    try:
        return pickle.load(given)
    except (EOFError, pickle.UnpicklingError):  # Who told it has ended, or did so half-way.
        return None


def _leave_stdin() -> None:
    """Have whoever reads the standard input find its end: what comes by it is not for tasks."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _import_main(main: dict[str, str]) -> None:
    """Import the main script, as `multiprocessing` does, for what is pickled out of it."""
    from multiprocessing import process, spawn

    importing = process.current_process()
    importing._inheriting = True  # type: ignore[attr-defined] # who starts a server is told
    try:
        spawn.prepare(main)
    finally:
        del importing._inheriting  # type: ignore[attr-defined]
