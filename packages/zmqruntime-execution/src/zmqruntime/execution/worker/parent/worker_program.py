"""Command line, environment and import path of a server's workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

__all__ = ["WorkerProgram", "find_python"]


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


def _get_executable() -> str:
    """Return this Python, or the one that was set by `multiprocessing.set_executable`."""
    spawn = sys.modules.get("multiprocessing.spawn")
    return sys.executable if spawn is None else os.fsdecode(spawn.get_executable())


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
