"""What a benchmark asks of a system that runs tasks: the one interface of all drivers.

A driver does what a user of that system would do, and nothing else; it measures nothing and
checks nothing. Workloads do, so that all are measured and checked alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from bench.tasks import Task

__all__ = ["Contender", "Hear", "Stopped", "Ticket", "Unable", "Wrong"]

Ticket = Any
"""The value that a system returns for a submitted task."""

Hear = Callable[[int, float | None], object]
"""Called with each report, in the order of arrival: its number, and when it was sent."""


class Unable(Exception):
    """This system cannot do that; the message says why."""


class Wrong(Exception):
    """What came back is not what was asked for."""


class Stopped(Exception):
    """The task was cancelled, and so has no result."""


class Contender(ABC):
    """One system: its server, its one worker, and this process as its client.

    Args:
        place: an empty directory of its own.
    """

    distributions: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions the page shows."""
    single: ClassVar[bool] = False
    """Whether a process can be a client of one only."""
    why_no_progress: ClassVar[str] = "no progress"
    why_no_ping: ClassVar[str] = "no server"
    why_no_status: ClassVar[str] = "no server"
    why_no_cancel: ClassVar[str] = "a running task cannot be cancelled"
    why_no_fan_out: ClassVar[str] = "progress reaches the submitter only"
    why_no_records: ClassVar[str] = ""
    """Why it keeps no record of what has ended; empty when it does."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @abstractmethod
    def start(self) -> None:
        """Start the server and its worker, and be their client."""

    @abstractmethod
    def stop(self) -> None:
        """End all of that, whatever runs. When it returns, the processes are gone."""

    @abstractmethod
    def submit(self, task: Task) -> Ticket:
        """Hand a task over; return when it is accepted."""

    @abstractmethod
    def result(self, ticket: Ticket) -> object:
        """Wait for a task, and return its result.

        Raises:
            Stopped: it was cancelled.
        """

    @abstractmethod
    def processes(self) -> list[int]:
        """Return the process ids of the server, which comes first, and of all that is its."""

    def keepers(self) -> list[int]:
        """Return the ids of the processes that hold the queue and the records."""
        return self.processes()[:1]

    def execute(self, task: Task) -> object:
        """Submit a task, wait for it, and return its result."""
        return self.result(self.submit(task))

    def submit_all(self, tasks: Sequence[Task]) -> None:
        """Submit many tasks whose results are not awaited."""
        for task in tasks:
            self.submit(task)

    def execute_all(self, tasks: Sequence[Task]) -> list[object]:
        """Submit all tasks, then wait for all; return their results."""
        return [self.result(ticket) for ticket in [self.submit(task) for task in tasks]]

    def stream(self, task: Task, hear: Hear) -> object:
        """Run a task that reports. Return its result, when all reports that come have come."""
        self._cannot(self.why_no_progress)

    def hear_ends(self) -> Callable[[int], None]:
        """Have a callback called with the end of each task that is submitted from now on.

        Returns:
            what waits until it was called so many times.
        """
        self._cannot(self.why_no_progress)

    def ping(self) -> object:
        """Ask the server whether it is there."""
        self._cannot(self.why_no_ping)

    def status(self, ticket: Ticket) -> str:
        """Ask the server for the state of a task: "queued", "running" or another word."""
        self._cannot(self.why_no_status)

    def queued(self) -> int:
        """Return the number of queued tasks, as the server reports it."""
        self._cannot(self.why_no_status)

    def cancel(self, ticket: Ticket) -> None:
        """Cancel a running task; return when the system has acknowledged it."""
        self._cannot(self.why_no_cancel)

    def observe(self, hears: Sequence[Hear]) -> AbstractContextManager[None]:
        """Subscribe once for each of these, to the progress of all tasks.

        Called in another process than the others, without `start`, in the same place.
        """
        self._cannot(self.why_no_fan_out)

    def _cannot(self, reason: str) -> NoReturn:
        raise Unable(reason)
