"""What a task is given besides its request: a way to tell, and a way to be told."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import SupportsFloat

from zmqruntime.execution.errors import TaskCancelled
from zmqruntime.execution.worker.interrupt import Interrupt
from zmqruntime.execution.worker.reporter import ProgressReporter
from zmqruntime.messages import ExecuteRequest, JsonObject, Labels

__all__ = ["ExecutionContext"]


class ExecutionContext:
    """One run of one task, as the task sees it."""

    def __init__(
        self,
        request: ExecuteRequest,
        reporter: ProgressReporter,
        interrupt: Interrupt,
    ) -> None:
        assert request.execution_id is not None
        self.execution_id = request.execution_id
        self.client_id = request.client_id
        self.labels: Labels = request.labels
        self.reporter = reporter
        """Picklable: give it to a process that the task starts, to report from there."""
        self._interrupt = interrupt

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
