"""What the scheduler knows of its worker, and how soon a failing one is started again."""

from __future__ import annotations

from enum import Enum

__all__ = ["Supervisor", "WorkerState"]

_FIRST_DELAY_SECONDS = 0.1
_MAX_DELAY_SECONDS = 30.0


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
        self._was_ready = False
        self._failed_starts = 0

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
        self._failed_starts = 0

    def leaves(self) -> None:
        """Note that the worker is as good as gone, though not all that it said has been heard."""
        if self.state is WorkerState.BUSY:
            self.state = WorkerState.ENDING

    def exited(self) -> float | None:
        """Note that the worker is gone; return the seconds to wait before the next one.

        None: none has ever been ready, so the application's set-up itself is at fault.
        """
        was_starting = self.state is WorkerState.STARTING
        self.state = WorkerState.ABSENT
        if not was_starting:
            return 0.0
        if not self._was_ready:
            return None
        delay = min(_FIRST_DELAY_SECONDS * 2.0**self._failed_starts, _MAX_DELAY_SECONDS)
        self._failed_starts = min(self._failed_starts + 1, 10)
        return delay
