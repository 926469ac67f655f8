"""Task logs: one private, bounded file for the output of each execution.

A worker writes to its live file while a task runs; the file is sealed, renamed to that of the
execution, when the task has ended. A log that cannot be kept fails no execution.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from zmqruntime.transport import Endpoint, EndpointError
from zmqruntime.transport.lowlevel import default_log_dir, make_private_dir, open_private

__all__ = ["TaskLogFiles", "TaskLogs", "log_directory", "trim"]

_log = logging.getLogger("zmqruntime.server")

_LIVE = ".live"
_SEALED = ".log"
# Names such as `nul` are devices on Windows, with any extension.
_PREFIX = "task-"


def log_directory(parent: Path, endpoint: Endpoint) -> Path:
    """Return the directory, below ``parent``, of the server at ``endpoint``."""
    addresses = f"{endpoint.control_address} {endpoint.data_address}"
    digest = hashlib.blake2b(os.fsencode(addresses), digest_size=4).hexdigest()
    return parent / f"{endpoint.app_name}-{endpoint.port}-{digest}.tasks"


class TaskLogFiles:
    """The log files in one server's directory. Its methods raise `OSError`.

    Args:
        directory: an existing directory of this server alone.
        max_bytes: approximate limit of one file; the newest part of a longer one is kept.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.directory = directory
        # A path may contain bytes that are not UTF-8; the path in a record is text.
        self._prefix = os.fsencode(directory / "x")[:-1].decode("utf-8", "backslashreplace")

    def path_of(self, execution_id: str) -> Path:
        """Return the path of an execution's sealed log."""
        return self.directory / _file_name(execution_id)

    def path_text(self, execution_id: str) -> str:
        """Return `path_of` as text, for a record."""
        return self._prefix + _file_name(execution_id)

    def live_path(self, worker: str) -> Path:
        """Return the path of the file that a worker writes to."""
        return self.directory / f"{worker}{_LIVE}"

    def trim_live(self, worker: str) -> None:
        """Trim the output of a running task to the limit."""
        trim(self.live_path(worker), self.max_bytes)

    def seal(self, worker: str, execution_id: str | None) -> None:
        """Make a worker's live file the log of an execution; None: remove it."""
        live = self.live_path(worker)
        with contextlib.suppress(FileNotFoundError):
            if execution_id is not None and live.stat().st_size:
                trim(live, self.max_bytes)
                live.replace(self.path_of(execution_id))
            else:
                live.unlink()

    def read_tail(
        self, execution_id: str, max_bytes: int, worker: str | None = None
    ) -> tuple[bytes, int]:
        """Return the end of an execution's output, and the size of its file.

        Args:
            execution_id: the execution.
            max_bytes: limit of the returned part.
            worker: the worker that runs the execution now; None: it has ended.
        """
        path = self.path_of(execution_id) if worker is None else self.live_path(worker)
        try:
            with os.fdopen(open_private(path), "rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - max_bytes))
                return log.read(max_bytes), size
        except FileNotFoundError:
            return b"", 0

    def remove(self, execution_id: str) -> None:
        """Remove an execution's log, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path_of(execution_id))  # noqa: PTH108 - for every execution; fast

    def seal_orphans(self, execution_id: str) -> None:
        """Seal the live file of a killed server as the log of the execution that it ran."""
        for live in self.directory.glob(f"*{_LIVE}"):
            self.seal(live.stem, execution_id)

    def find_stale(self, is_kept: Callable[[str], bool]) -> list[Path]:
        """Return live files, and the logs of executions that are not kept."""
        return [path for path in self.directory.iterdir() if _is_stale(path, is_kept)]

    def remove_directory(self) -> None:
        """Remove the directory if it is empty."""
        with contextlib.suppress(OSError):
            self.directory.rmdir()


class TaskLogs:
    """The task logs of one server. An `OSError` is logged, and not raised.

    Args:
        files: the log files; None: output is not captured.
    """

    def __init__(self, files: TaskLogFiles | None = None) -> None:
        self._files = files

    @classmethod
    def open(cls, endpoint: Endpoint, log_dir: Path | None, max_bytes: int) -> TaskLogs:
        """Return the logs of the server at ``endpoint``, in a directory that is created."""
        try:
            parent = log_dir or default_log_dir(endpoint.app_name)
            make_private_dir(parent, "log_dir")
            directory = log_directory(parent, endpoint)
            make_private_dir(directory, "log_dir")
        except EndpointError as error:
            _log.warning("task output is not captured: %s", error)
            return cls()
        return cls(TaskLogFiles(directory, max_bytes))

    @property
    def directory(self) -> Path | None:
        """The directory of the files; None: output is not captured."""
        return self._files.directory if self._files else None

    def path_text(self, execution_id: str) -> str | None:
        """Return the path of an execution's log; None: output is not captured."""
        return self._files.path_text(execution_id) if self._files else None

    def trim_live(self, worker: str) -> None:
        """Trim the output of a running task to the limit."""
        if self._files is not None:
            with _LOG_ERRORS:
                self._files.trim_live(worker)

    def seal(self, worker: str, execution_id: str | None) -> None:
        """Make the file of a worker that has exited the log of an execution; None: remove it."""
        if self._files is not None:
            with _LOG_ERRORS:
                self._files.seal(worker, execution_id)

    def read_tail(
        self, execution_id: str, max_bytes: int, worker: str | None = None
    ) -> tuple[bytes, int]:
        """Return the end of an execution's output, and its size; see `TaskLogFiles.read_tail`."""
        if self._files is not None:
            with _LOG_ERRORS:
                return self._files.read_tail(execution_id, max_bytes, worker)
        return b"", 0

    def remove(self, execution_id: str) -> None:
        """Remove an execution's log, if there is one."""
        if self._files is not None:
            with _LOG_ERRORS:
                self._files.remove(execution_id)

    def sweep(self, is_kept: Callable[[str], bool], interrupted: str | None = None) -> None:
        """Remove what earlier servers at this endpoint left, except the logs of kept executions.

        ``interrupted`` is the execution that ran when the last of them was killed.
        """
        if self._files is None:
            return
        if interrupted is not None:
            with _LOG_ERRORS:
                self._files.seal_orphans(interrupted)
        with _LOG_ERRORS:
            for path in self._files.find_stale(is_kept):
                with _LOG_ERRORS:  # On Windows an open file cannot be removed.
                    path.unlink(missing_ok=True)

    def close(self, is_kept: Callable[[str], bool]) -> None:
        """Remove all files except the logs of kept executions."""
        self.sweep(is_kept)
        if self._files is not None:
            self._files.remove_directory()


class _LogErrors(AbstractContextManager[None]):
    """Logs an `OSError` of its block instead of raising it."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, OSError):
            return False
        _log.warning("task log not kept: %s", error)
        return True


_LOG_ERRORS = _LogErrors()


def trim(path: Path, max_bytes: int) -> None:
    """Cut a file that is longer than ``max_bytes`` to the newest half of that.

    A line or two that another process appends at the same time may be lost.
    """
    try:
        size = path.stat().st_size
        if size <= max_bytes:
            return
        with os.fdopen(open_private(path, write=True), "r+b") as log:
            log.seek(size - max_bytes // 2)
            newest = log.read(max_bytes)
            newest = newest[newest.find(b"\n") + 1 :]  # Whole lines, if there are any.
            log.truncate(0)
    except FileNotFoundError:
        return
    with os.fdopen(open_private(path, append=True, create=True), "ab") as log:
        log.write(b"... (%d bytes before this are not kept)\n" % (size - len(newest)))
        log.write(newest)


def _file_name(execution_id: str) -> str:
    """Return a file name that is unique on a case-insensitive file system as well."""
    return f"{_PREFIX}{execution_id}-{zlib.crc32(execution_id.encode()):08x}{_SEALED}"


def _is_stale(path: Path, is_kept: Callable[[str], bool]) -> bool:
    execution_id = re.sub(r"-[0-9a-f]{8}$", "", path.stem).removeprefix(_PREFIX)
    if path.name == _file_name(execution_id):
        return not is_kept(execution_id)
    return path.suffix == _LIVE
