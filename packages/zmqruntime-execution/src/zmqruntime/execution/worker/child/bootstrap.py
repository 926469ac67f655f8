"""Entry point of the worker process: imports its modules, then waits for its setup.

The parent's side is `worker.parent.starting_worker`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys

from zmqruntime.execution.worker.start_marker import StartMarker

TYPE_CHECKING = False  # Importing `typing` would delay the start of a worker.

if TYPE_CHECKING:
    from typing import Any, BinaryIO

__all__ = ["run_bootstrap"]


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
