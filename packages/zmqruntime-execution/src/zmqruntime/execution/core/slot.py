"""A worker slot: what the scheduler knows of one worker and of its task."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from zmqruntime.transport.lowlevel import Backoff

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.execution import Execution
    from zmqruntime.messages import ExecutionErrorInfo

__all__ = ["WorkerSlot", "WorkerState"]

_MAX_DELAY_SECONDS = 30.0
_BACKOFF = Backoff(0.1, _MAX_DELAY_SECONDS)
# By the delays above, 26 seconds after the first of them.
_MANY_FAILED_STARTS = 9


class WorkerState(Enum):
    """The state of a slot's worker."""

    ABSENT = "absent"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"
    """Being killed, or gone with events still unread; it gets no further task."""


# By name once: Python 3.11 looks members of an enum up slowly.
_READY_STATES = (WorkerState.IDLE, WorkerState.BUSY)


@dataclass(slots=True)
class WorkerSlot:
    """One worker and its task, as the scheduler and its `SlotManager` change it.

    The state of a worker that is replaced moves from BUSY or IDLE through ENDING and ABSENT to
    STARTING. Failed starts back off exponentially.
    """

    id: int
    state: WorkerState = WorkerState.ABSENT
    execution: Execution | None = None
    """The execution that runs."""
    stop_error: ExecutionErrorInfo | None = None
    """Why the task was interrupted, if not by a cancel."""
    discarded_id: str | None = None
    """The execution rolled back while it ran; its log is removed at the end of the worker."""
    failed_starts: int = 0
    """How many starts in a row have failed."""
    start_error: str | None = None
    """Why the last of them has."""
    was_ready: bool = False
    """Whether any worker of this slot was ever ready."""

    @property
    def execution_id(self) -> str | None:
        """The id of the execution that runs."""
        return self.execution.execution_id if self.execution else None

    @property
    def is_ready(self) -> bool:
        """Whether its worker is set up, with or without a task."""
        return self.state in _READY_STATES

    @property
    def is_interrupted(self) -> bool:
        """Whether the running task was interrupted, for whatever reason."""
        return self.execution is not None and (
            self.execution.cancel_requested or self.stop_error is not None
        )

    @property
    def is_failing(self) -> bool:
        """Whether so many starts have failed that no execution should wait for the next one."""
        return self.failed_starts >= _MANY_FAILED_STARTS

    def mark_ready(self) -> None:
        """Record that the worker is set up."""
        self.state = WorkerState.IDLE
        self.was_ready = True
        self.failed_starts = 0
        self.start_error = None

    def mark_idle(self) -> None:
        """Record that the task has ended; a worker that is being killed stays ENDING."""
        if self.state is WorkerState.BUSY:
            self.state = WorkerState.IDLE

    def mark_ending(self) -> None:
        """Record that the worker has ended, while its last events are handled."""
        if self.state is WorkerState.BUSY:
            self.state = WorkerState.ENDING

    def mark_exited(self, reason: str) -> float | None:
        """Record that the worker has ended.

        Args:
            reason: the error of a worker that was starting.

        Returns:
            The delay of the next start, in seconds; None if no worker was ever ready: the
            application's own set-up fails.
        """
        was_starting = self.state is WorkerState.STARTING
        self.state = WorkerState.ABSENT
        if not was_starting:
            return 0.0
        self.start_error = reason
        if not self.was_ready:
            return None
        self.failed_starts += 1
        return _BACKOFF.compute_delay(self.failed_starts)
