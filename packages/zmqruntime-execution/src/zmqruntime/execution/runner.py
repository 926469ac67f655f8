"""The seam for ways to run a task: a worker process is one, a thread or a cluster others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zmqruntime.execution.core.events import RunnerEvent
from zmqruntime.messages import WorkerInfo
from zmqruntime.transport import Endpoint, Loop

__all__ = ["RunnerHost", "TaskRunner"]


@dataclass(frozen=True, slots=True)
class RunnerHost:
    """What a server lends to its runner."""

    loop: Loop
    endpoint: Endpoint
    max_message_bytes: int
    log_dir: Path | None
    """Where to keep what tasks write; None: the platform's directory for logs."""
    emit: Callable[[RunnerEvent], None]
    """Tells the scheduler something. In the loop's thread; elsewhere, `Loop.post` it."""


class TaskRunner(ABC):
    """Runs one task at a time for a server, and tells what becomes of it.

    Every method is called in the server's loop thread and must not block. The runner emits
    `WorkerReady` once after each `start_worker`, then for each assigned task any number of
    `ProgressReported` and at last one of `TaskReturned`, `TaskRaised`, `TaskStopped`; or, at
    any time and once for each worker, `WorkerExited`.
    """

    @abstractmethod
    def open(self, host: RunnerHost) -> None:
        """Make ready to start workers."""

    @abstractmethod
    def start_worker(self) -> None:
        """Start a worker. There is none now."""

    @abstractmethod
    def assign(self, execution_id: str, request: bytes) -> None:
        """Run an encoded `ExecuteRequest`. The worker is idle."""

    @abstractmethod
    def interrupt(self, execution_id: str) -> None:
        """Tell this task, if it still runs, to stop."""

    @abstractmethod
    def kill_worker(self) -> None:
        """End the worker, with all that it started; `WorkerExited` follows."""

    @abstractmethod
    def describe(self, execution_id: str | None) -> tuple[WorkerInfo, ...]:
        """Return the workers, one of which runs ``execution_id``."""

    def name_log(self, execution_id: str) -> str | None:
        """Return where the output of an execution goes, if it is kept."""
        return None

    def read_log(self, execution_id: str, max_bytes: int) -> tuple[bytes, int]:
        """Return the end of an execution's output, and the size of all that is kept of it."""
        return b"", 0

    def forget_log(self, execution_id: str) -> None:  # noqa: B027 - none is kept here
        """Remove the output of an execution, if there is any."""

    def sweep_logs(  # noqa: B027
        self, is_kept: Callable[[str], bool], interrupted: str | None = None
    ) -> None:
        """Remove the output of all executions but those that are kept.

        ``interrupted`` is the one that ran when the server before this one ended, if one did.
        """

    def restore_files(self) -> None:  # noqa: B027 - none are kept here
        """Make files anew that it keeps in the server's directory, if they were removed.

        Called up to once a second while the server works.

        Raises:
            EndpointError: the directory cannot be made, or used.
            OSError: the files cannot be made.
        """

    @abstractmethod
    def close(self) -> None:
        """End every worker, and give back what `open` took. May block for a few seconds."""
