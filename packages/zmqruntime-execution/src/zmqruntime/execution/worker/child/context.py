"""What a task is given besides its request: a way to tell, and a way to be told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, SupportsFloat

from zmqruntime.execution.errors import TaskCancelled
from zmqruntime.execution.worker.child.interrupt import Interrupt
from zmqruntime.execution.worker.child.reporter import ProgressReporter
from zmqruntime.messages import ExecuteRequest, JsonObject, Labels

if TYPE_CHECKING:
    import subprocess

    from zmqruntime.execution.worker.child.programs import Program

__all__ = ["ExecutionContext"]


class _HasPid(Protocol):
    """A `subprocess.Popen`, a `psutil.Process`, a process of `multiprocessing`."""

    @property
    def pid(self) -> int | None: ...


def _keep_nothing(pid: int) -> None:
    """Stand for a runner that ends no processes."""


class ExecutionContext:
    """One run of one task, as the task sees it."""

    def __init__(
        self,
        request: ExecuteRequest,
        reporter: ProgressReporter,
        interrupt: Interrupt,
        keep: Callable[[int], None] = _keep_nothing,
    ) -> None:
        assert request.execution_id is not None
        self.execution_id = request.execution_id
        self.client_id = request.client_id
        self.labels: Labels = request.labels
        self.reporter = reporter
        """Picklable: give it to a process that the task starts, to report from there."""
        self._interrupt = interrupt
        self._keep = keep

    def report_progress(
        self,
        completed: SupportsFloat | None = None,
        total: SupportsFloat | None = None,
        *,
        phase: str | None = None,
        message: str | None = None,
        data: JsonObject | None = None,
    ) -> None:
        """Tell everybody who listens how far the task is; the server keeps the latest.

        Call it as often as you like, from any thread of the task. ``percent`` is computed when
        both numbers are given.

        Raises:
            TypeError: a field has the wrong type.
            ValueError: a number is not finite.
            DecodeError: a part of ``data`` has no JSON form, as `to_json_value` makes it.
        """
        self.reporter.report(completed, total, phase, message, data)

    @property
    def cancel_requested(self) -> bool:
        """Whether the task is to stop. A task that has read True and returns is cancelled."""
        return self._interrupt.requested

    def raise_if_cancelled(self) -> None:
        """Raise `TaskCancelled` when the task is to stop."""
        if self._interrupt.requested:
            raise TaskCancelled(f"execution {self.execution_id} is to stop")

    def shield(self) -> AbstractContextManager[None]:
        """Hold an interrupt back while a block runs that must not be torn apart.

        ``with context.shield(): ...`` delays a cancel until the block ends, at most for the
        server's ``cancel_grace_seconds``: after that the process is ended.
        """
        return self._interrupt.shielded()

    def run(
        self,
        args: Any,
        *,
        input: Any = None,
        capture_output: bool = False,
        timeout: float | None = None,
        check: bool = False,
        **options: Any,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program and wait for it, as `subprocess.run` does, with its arguments.

        A cancel, a time limit or a ``timeout`` ends the program with all that it started:
        terminated at once, killed a second later. What it writes goes into the execution's log.

        Raises:
            subprocess.TimeoutExpired: it ran longer than ``timeout`` seconds.
            subprocess.CalledProcessError: its exit code is not 0, and ``check`` is true.
            OSError: it cannot be started.
        """
        import subprocess

        from zmqruntime.execution.worker.child.programs import run_program

        if input is not None:
            options["stdin"] = subprocess.PIPE
        if capture_output:
            options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return run_program(self.popen(args, **options), input, timeout, check=check)

    def popen(self, args: Any, **options: Any) -> Program:
        """Start a program, as `subprocess.Popen` does, with its arguments.

        What it writes goes into the execution's log. In a ``with`` block, an exception ends it
        with all that it started; without one, it ends with a run that is cancelled or fails.

        Raises:
            OSError: it cannot be started.
        """
        from zmqruntime.execution.worker.child.programs import Program

        return Program(args, **options)

    def keep(self, process: _HasPid | int) -> None:
        """Let a process outlive this run, however that ends; it ends with the worker.

        What a run has started and left is ended when the run is cancelled, exceeds its time limit
        or fails.

        Args:
            process: a `subprocess.Popen`, a process of `psutil` or `multiprocessing`, or a pid.

        Raises:
            ValueError: the process was not started yet.
            ProcessLookupError: it has ended.
        """
        pid = process if isinstance(process, int) else process.pid
        if pid is None:
            raise ValueError(f"{process!r} has no pid: start it before it is kept")
        self._keep(pid)
