"""The interface of the drivers of all measured systems.

A driver does what a user of that system would do. Workloads measure and check, so that all systems
are measured and checked in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from bench.tasks import Task

__all__ = ["Cancelled", "Contender", "OnReport", "Ticket", "Unsupported", "WrongResult"]

Ticket = Any
"""What a system returns for a submitted task."""

OnReport = Callable[[int, float | None], object]
"""Called with each report, in the order of arrival: its number, and the time it was sent."""


class Unsupported(Exception):
    """The system does not support the operation; the message is the reason."""


class WrongResult(Exception):
    """A result is wrong."""


class Cancelled(Exception):
    """The task was cancelled."""


class Contender(ABC):
    """One system: its server, one worker, and this process as the client.

    Args:
        place: an empty directory.
    """

    distributions: ClassVar[tuple[str, ...]] = ()
    """The distributions whose versions are stored with the figures."""
    single: ClassVar[bool] = False
    """Whether a process can be a client of one instance only."""
    why_no_progress: ClassVar[str] = "has no progress"
    why_no_ping: ClassVar[str] = "has no server"
    why_no_status: ClassVar[str] = "has no server"
    why_no_cancel: ClassVar[str] = "cannot stop a running task"
    why_no_fan_out: ClassVar[str] = "has progress for the submitting client only"
    why_no_records: ClassVar[str] = ""
    """Why it keeps no records of ended tasks; empty when it does."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @abstractmethod
    def start(self) -> None:
        """Start the server and its worker, and connect."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the server and the worker; return when all processes have ended."""

    @abstractmethod
    def submit(self, task: Task) -> Ticket:
        """Submit a task; return when it is accepted."""

    @abstractmethod
    def result(self, ticket: Ticket) -> object:
        """Wait for a task, and return its result.

        Raises:
            Cancelled: the task was cancelled.
        """

    @abstractmethod
    def processes(self) -> list[int]:
        """Return the pids of the server, which is the first, and of its other processes."""

    def keepers(self) -> list[int]:
        """Return the pids of the processes that hold the queue and the records."""
        return self.processes()[:1]

    def execute(self, task: Task) -> object:
        """Submit a task, wait for it, and return its result."""
        return self.result(self.submit(task))

    def submit_all(self, tasks: Sequence[Task]) -> None:
        """Submit many tasks whose results are not read."""
        for task in tasks:
            self.submit(task)

    def execute_all(self, tasks: Sequence[Task]) -> list[object]:
        """Submit all tasks, then wait for all; return their results."""
        return [self.result(ticket) for ticket in [self.submit(task) for task in tasks]]

    def stream(self, task: Task, on_report: OnReport) -> object:
        """Run a task that reports; return its result after its last report has arrived."""
        self._cannot(self.why_no_progress)

    def subscribe_to_ends(self) -> Callable[[int], None]:
        """Subscribe to the ends of the tasks that are submitted afterwards.

        Returns:
            a function that waits until that number of ends has arrived.
        """
        self._cannot(self.why_no_progress)

    def ping(self) -> object:
        """Send a request without an effect, and wait for the reply."""
        self._cannot(self.why_no_ping)

    def status(self, ticket: Ticket) -> str:
        """Request the state of a task: "queued", "running" or another word."""
        self._cannot(self.why_no_status)

    def queued(self) -> int:
        """Request the number of queued tasks."""
        self._cannot(self.why_no_status)

    def cancel(self, ticket: Ticket) -> None:
        """Cancel a running task; return when the request is accepted."""
        self._cannot(self.why_no_cancel)

    def observe(self, callbacks: Sequence[OnReport]) -> AbstractContextManager[None]:
        """Subscribe each callback to the progress of all tasks.

        Called in another process, without `start`, with the same place.
        """
        self._cannot(self.why_no_fan_out)

    def _cannot(self, reason: str) -> NoReturn:
        raise Unsupported(reason)
