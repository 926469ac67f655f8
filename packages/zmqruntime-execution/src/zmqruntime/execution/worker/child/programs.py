"""Programs that a task runs: as with `subprocess`, and terminated with their descendants."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import Any, Final

import psutil

from zmqruntime.transport.lowlevel import is_resource_tracker, read_environment, terminate_then_kill

__all__ = ["Program", "run_program"]

_TERMINATE_SECONDS: Final = 1.0
_VARIABLE: Final = "ZMQRUNTIME_PROGRAM"


class Program(subprocess.Popen[Any]):
    """A `subprocess.Popen` that is terminated when an exception leaves its ``with`` block.

    The program and its descendants are terminated, and killed a second later. Its output goes
    where the task's own goes, unless ``stdout`` and ``stderr`` are given.
    """

    def __init__(self, args: Any, **options: Any) -> None:
        self.mark: Final = os.urandom(16).hex()
        """In the environment of the program and of its descendants."""
        given = options.get("env")
        options["env"] = {**(os.environ if given is None else given), _VARIABLE: self.mark}
        super().__init__(args, **options)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None:
            terminate_program(self)
        super().__exit__(kind, error, traceback)


def run_program(
    program: Program, data: Any, timeout: float | None, *, check: bool
) -> subprocess.CompletedProcess[Any]:
    """Wait for a program and return its result, as `subprocess.run` does.

    Raises:
        subprocess.TimeoutExpired: it ran longer than ``timeout`` seconds, and was terminated.
        subprocess.CalledProcessError: its exit code is not 0, and ``check`` is true.
    """
    with program:
        stdout, stderr = program.communicate(data, timeout=timeout)
    code = program.returncode
    if check and code:
        raise subprocess.CalledProcessError(code, program.args, stdout, stderr)
    return subprocess.CompletedProcess(program.args, code, stdout, stderr)


def terminate_program(program: Program) -> None:
    """Terminate a program and its descendants, and kill those that still run a second later.

    Descendants are found by parentage and, when their own parent has exited, by the mark.
    """
    descendants = _find_descendants(program)
    program.terminate()
    terminate_then_kill(descendants, _TERMINATE_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(_TERMINATE_SECONDS)
    program.kill()


def _find_descendants(program: Program) -> set[psutil.Process]:
    found = {
        process
        for process in psutil.process_iter()
        if process.pid != program.pid and read_environment(process).get(_VARIABLE) == program.mark
    }
    if program.poll() is None:  # Else the pid may have been reused.
        with contextlib.suppress(psutil.Error):
            found.update(psutil.Process(program.pid).children(recursive=True))
    return {process for process in found if not is_resource_tracker(process)}
