"""The context of a running task: progress, cancellation, programs."""

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
    """A `subprocess.Popen`, a `psutil.Process`, or a `multiprocessing` process."""

    @property
    def pid(self) -> int | None: ...


def _ignore(pid: int) -> None:
    """Do nothing, for a runner that terminates no processes."""


class ExecutionContext:
    """One run of one task, as the task sees it."""

    def __init__(
        self,
        request: ExecuteRequest,
        reporter: ProgressReporter,
        interrupt: Interrupt,
        keep: Callable[[int], None] = _ignore,
    ) -> None:
        assert request.execution_id is not None
        self.execution_id = request.execution_id
        self.client_id = request.client_id
        self.labels: Labels = request.labels
        self.reporter = reporter
        """Picklable: pass it to a process that the task starts, to report progress from there."""
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
        """Publish progress; the server keeps the latest report.

        Thread-safe, and cheap enough for every step of a loop. ``percent`` is computed when both
        numbers are given.

        Raises:
            TypeError: a field has the wrong type.
            ValueError: a number is not finite.
            DecodeError: a part of ``data`` has no JSON form (see `to_json_value`).
        """
        self.reporter.report(completed, total, phase, message, data)

    @property
    def cancel_requested(self) -> bool:
        """Whether a cancel was requested. A task that has read True ends cancelled."""
        return self._interrupt.requested

    def raise_if_cancelled(self) -> None:
        """Raise `TaskCancelled` if a cancel was requested."""
        if self._interrupt.requested:
            raise TaskCancelled(f"execution {self.execution_id} was interrupted")

    def shield(self) -> AbstractContextManager[None]:
        """Defer an interrupt to the end of a block: ``with context.shield(): ...``.

        The server kills the worker after ``cancel_grace_seconds``, also within the block.
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
        """Run a program and wait for it, with the arguments of `subprocess.run`.

        A cancel, a time limit or a ``timeout`` terminates the program and its descendants; those
        that still run a second later are killed. Its output goes to the execution's log.

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
        """Start a program, with the arguments of `subprocess.Popen`.

        Its output goes to the execution's log. An exception that leaves its ``with`` block
        terminates it and its descendants; otherwise they are terminated when the run is
        cancelled or fails.

        Raises:
            OSError: it cannot be started.
        """
        from zmqruntime.execution.worker.child.programs import Program

        return Program(args, **options)

    def keep(self, process: _HasPid | int) -> None:
        """Let a process outlive this run, at most as long as the worker.

        All other processes that a run has started and left are terminated when the run is
        cancelled, exceeds its time limit or fails.

        Args:
            process: a `subprocess.Popen`, a process of `psutil` or `multiprocessing`, or a pid.

        Raises:
            ValueError: the process is not started yet.
            ProcessLookupError: the process has exited.
        """
        pid = process if isinstance(process, int) else process.pid
        if pid is None:
            raise ValueError(f"{process!r} has no pid: start the process before it is kept")
        self._keep(pid)
