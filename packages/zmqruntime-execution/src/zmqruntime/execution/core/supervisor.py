"""What the scheduler knows of its worker, and how soon a failing one is started again."""

from __future__ import annotations

from enum import Enum

__all__ = ["Supervisor", "WorkerState"]

_FIRST_DELAY_SECONDS = 0.1
_MAX_DELAY_SECONDS = 30.0
# By the delays above, 26 seconds after the first of them.
_MANY_FAILED_STARTS = 9


class WorkerState(Enum):
    """Where the one worker is."""

    ABSENT = "absent"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    ENDING = "ending"
    """It was told to end at once; whatever it still says, it gets no further task."""


# By name once: Python 3.11 looks members of an enum up slowly.
_THERE = (WorkerState.IDLE, WorkerState.BUSY)


class Supervisor:
    """The worker's state. One that ends while it starts is started again ever more slowly."""

    def __init__(self) -> None:
        self.state = WorkerState.ABSENT
        self.failed_starts = 0
        """How many starts in a row have failed."""
        self.error: str | None = None
        """Why the last of them has."""
        self._was_ready = False

    @property
    def is_there(self) -> bool:
        """Whether a worker is ready, with or without a task."""
        return self.state in _THERE

    def rest(self) -> None:
        """Note that the worker has ended a task, and is idle unless it is being ended itself."""
        if self.state is WorkerState.BUSY:
            self.state = WorkerState.IDLE

    def ready(self) -> None:
        """Note that the worker is set up."""
        self.state = WorkerState.IDLE
        self._was_ready = True
        self.failed_starts = 0
        self.error = None

    def leaves(self) -> None:
        """Note that the worker is as good as gone, though not all that it said has been heard."""
        if self.state is WorkerState.BUSY:
            self.state = WorkerState.ENDING

    @property
    def is_hopeless(self) -> bool:
        """Whether so many starts have failed that no execution is to wait for the next one."""
        return self.failed_starts >= _MANY_FAILED_STARTS

    def exited(self, reason: str) -> float | None:
        """Note that the worker is gone; return the seconds to wait before the next one.

        None: none has ever been ready, so the application's set-up itself is at fault.

        Args:
            reason: why, if it was starting.
        """
        was_starting = self.state is WorkerState.STARTING
        self.state = WorkerState.ABSENT
        if not was_starting:
            return 0.0
        self.error = reason
        if not self._was_ready:
            return None
        delay = _FIRST_DELAY_SECONDS * 2.0 ** min(self.failed_starts, 10)
        self.failed_starts += 1
        return min(delay, _MAX_DELAY_SECONDS)
