"""The server's side of what tasks write. A log that cannot be kept hurts no execution."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from zmqruntime.execution.worker.task_logs import TaskLogs, log_directory
from zmqruntime.transport import Endpoint, EndpointError
from zmqruntime.transport.lowlevel import default_log_dir, make_private_dir

__all__ = ["LogKeeper"]

_log = logging.getLogger("zmqruntime.server")


class LogKeeper:
    """Keeps the logs of one server's executions, and tells what fails with them in its own log.

    Args:
        logs: where the files are; None: nothing is kept.
    """

    def __init__(self, logs: TaskLogs | None = None) -> None:
        self._logs = logs

    @classmethod
    def at(cls, endpoint: Endpoint, log_dir: Path | None, max_bytes: int) -> LogKeeper:
        """Return the keeper for the one server at ``endpoint``, its directory made."""
        try:
            parent = log_dir or default_log_dir(endpoint.app_name)
            make_private_dir(parent, "log_dir")
            directory = log_directory(parent, endpoint)
            make_private_dir(directory, "log_dir")
        except EndpointError as error:
            _log.warning("what tasks write is not kept: %s", error)
            return cls()
        return cls(TaskLogs(directory, max_bytes))

    @property
    def directory(self) -> Path | None:
        """Where the files are; None: nothing is kept."""
        return self._logs.directory if self._logs else None

    def name_of(self, execution_id: str) -> str | None:
        """Return where the output of an execution goes, if it is kept."""
        return self._logs.name_of(execution_id) if self._logs else None

    def trim(self, worker: str) -> None:
        """Cut what a running task has written, if it has got too long."""
        if self._logs is not None:
            with _TELLING:
                self._logs.trim_live(worker)

    def seal(self, worker: str, execution_id: str | None) -> None:
        """Take what a worker left that ended in the middle of a task, or between two."""
        if self._logs is not None:
            with _TELLING:
                self._logs.seal(worker, execution_id)

    def read_tail(
        self, execution_id: str, max_bytes: int, worker: str | None = None
    ) -> tuple[bytes, int]:
        """Return the end of an execution's output, and its size; see `TaskLogs.read_tail`."""
        if self._logs is not None:
            with _TELLING:
                return self._logs.read_tail(execution_id, max_bytes, worker)
        return b"", 0

    def forget(self, execution_id: str) -> None:
        """Remove what an execution has written, if it has written anything."""
        if self._logs is not None:
            with _TELLING:
                self._logs.forget(execution_id)

    def sweep(self, is_kept: Callable[[str], bool], interrupted: str | None = None) -> None:
        """Put away what earlier servers at this endpoint left, but for executions that are kept.

        ``interrupted`` is the one that ran when the last of them was killed.
        """
        if self._logs is None:
            return
        if interrupted is not None:
            with _TELLING:
                self._logs.seal_killed(interrupted)
        with _TELLING:
            for path in self._logs.find_unkept(is_kept):
                with _TELLING:  # One that somebody has open does not keep the others.
                    path.unlink(missing_ok=True)

    def close(self, is_kept: Callable[[str], bool]) -> None:
        """Leave nothing but the logs of executions that are kept."""
        self.sweep(is_kept)
        if self._logs is not None:
            self._logs.remove_directory()


class _Telling(AbstractContextManager[None]):
    """What fails inside with a file is told in the log, and no more than that."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, OSError):
            return False
        _log.warning("what a task wrote is not kept as it should be: %s", error)
        return True


_TELLING = _Telling()
