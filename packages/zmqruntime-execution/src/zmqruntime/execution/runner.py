"""The seam for ways to run a task: in a worker process, in a thread, on a cluster."""

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
    """What a server provides to its runner."""

    loop: Loop
    endpoint: Endpoint
    max_message_bytes: int
    log_dir: Path | None
    """The directory for the output of tasks; None: the platform's directory for logs."""
    emit: Callable[[RunnerEvent], None]
    """Passes an event to the scheduler. To be called in the loop's thread: elsewhere, by
    `Loop.post`."""


class TaskRunner(ABC):
    """Runs tasks for a server, one at a time on each worker slot, and emits what happens to them.

    Every method is called in the server's loop thread and must not block. For each `start_worker`
    the runner emits `WorkerReady` once; then for each assigned task any number of
    `ProgressReported`, and one of `TaskReturned`, `TaskRaised`, `TaskStopped`; or, at any time and
    once for each worker, `WorkerExited`.

    A server has one slot, number 0. Methods get, and events have, a slot with that default: a
    runner for one slot may leave it out, also from the parameters of its methods.
    """

    @abstractmethod
    def open(self, host: RunnerHost) -> None:
        """Prepare to start workers."""

    @abstractmethod
    def start_worker(self, slot: int = 0) -> None:
        """Start a worker on a slot that has none."""

    @abstractmethod
    def assign(self, execution_id: str, request: bytes, slot: int = 0) -> None:
        """Run an encoded `ExecuteRequest` on the idle worker of a slot."""

    @abstractmethod
    def interrupt(self, execution_id: str, slot: int = 0) -> None:
        """Interrupt this task, if it still runs."""

    @abstractmethod
    def kill_worker(self, slot: int = 0) -> None:
        """Kill the worker of a slot, with all processes it started; `WorkerExited` follows."""

    @abstractmethod
    def describe(self, execution_id: str | None, slot: int = 0) -> tuple[WorkerInfo, ...]:
        """Return the workers of a slot, one of which runs ``execution_id``."""

    def name_log(self, execution_id: str) -> str | None:
        """Return the log file of an execution; None where output is not captured."""
        return None

    def read_log(self, execution_id: str, max_bytes: int) -> tuple[bytes, int]:
        """Return the end of an execution's output, and the size of all that is kept of it."""
        return b"", 0

    def forget_log(self, execution_id: str) -> None:  # noqa: B027 - no log is kept by default
        """Remove the output of an execution, if there is any."""

    def sweep_logs(  # noqa: B027
        self, is_kept: Callable[[str], bool], interrupted: str | None = None
    ) -> None:
        """Remove the output of all executions except of those that are kept.

        ``interrupted``: the execution that ran when the previous server ended.
        """

    def restore_files(self) -> None:  # noqa: B027 - no files are kept by default
        """Recreate files in the server's directory that were removed.

        Called up to once a second while the server works.

        Raises:
            EndpointError: the directory cannot be created or used.
            OSError: the files cannot be created.
        """

    @abstractmethod
    def close(self) -> None:
        """End every worker and release what `open` acquired. May block for a few seconds."""
