"""The files with what tasks have written, as the server keeps them: bounded, and its owner's."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from zmqruntime.transport import Endpoint
from zmqruntime.transport.lowlevel import open_private

__all__ = ["TaskLogs", "log_directory", "trim"]

_LIVE = ".live"
_FINAL = ".log"
# Names such as `nul` are devices on Windows, whatever follows behind a point.
_PREFIX = "task-"


def log_directory(parent: Path, endpoint: Endpoint) -> Path:
    """Return the directory, below ``parent``, of the one server that may be at ``endpoint``."""
    where = f"{endpoint.control_address} {endpoint.data_address}"
    mark = hashlib.blake2b(os.fsencode(where), digest_size=4).hexdigest()
    return parent / f"{endpoint.app_name}-{endpoint.port}-{mark}.tasks"


class TaskLogs:
    """The logs of one server's executions, one file each once it has written something.

    Args:
        directory: this server's alone; it exists.
        max_bytes: how long one may get, about; of a longer one the newest part is kept.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.directory = directory
        # A path may have bytes that are no text; a record is text.
        self._prefix = os.fsencode(directory / "x")[:-1].decode("utf-8", "backslashreplace")

    def path_of(self, execution_id: str) -> Path:
        """Return where an execution's output is when it has ended."""
        return self.directory / _file_name(execution_id)

    def name_of(self, execution_id: str) -> str:
        """Return the same as text, for a record."""
        return self._prefix + _file_name(execution_id)

    def live_path(self, worker: str) -> Path:
        """Return where the output of what a worker runs is."""
        return self.directory / f"{worker}{_LIVE}"

    def trim_live(self, worker: str) -> None:
        """Cut what a running task has written, if it has got too long."""
        trim(self.live_path(worker), self.max_bytes)

    def seal(self, worker: str, execution_id: str | None) -> None:
        """Take what a worker left that ended in the middle of a task, or between two."""
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
        """Return the end of an execution's output, and the size of all that is kept of it.

        Args:
            execution_id: which.
            max_bytes: how much of it.
            worker: which runs it now, if one does.
        """
        path = self.path_of(execution_id) if worker is None else self.live_path(worker)
        try:
            with os.fdopen(open_private(path), "rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - max_bytes))
                return log.read(max_bytes), size
        except FileNotFoundError:
            return b"", 0

    def forget(self, execution_id: str) -> None:
        """Remove what an execution has written, if it has written anything."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path_of(execution_id))  # noqa: PTH108 - for every execution; fast

    def seal_killed(self, execution_id: str) -> None:
        """Take what an execution had written so far when an earlier server here was killed."""
        for live in self.directory.glob(f"*{_LIVE}"):
            self.seal(live.stem, execution_id)

    def find_unkept(self, is_kept: Callable[[str], bool]) -> list[Path]:
        """Return the files of servers here, but for the logs of executions that are kept."""
        return [path for path in self.directory.iterdir() if _is_unkept(path, is_kept)]

    def remove_directory(self) -> None:
        """Remove the directory when nothing is left in it."""
        with contextlib.suppress(OSError):
            self.directory.rmdir()


def trim(path: Path, max_bytes: int) -> None:
    """Cut a file that is longer than ``max_bytes`` to its newest half of that.

    Somebody may append to it at the same time; a line or two of theirs may then be lost.
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
    """Return a name that is one also where upper and lower case are the same."""
    return f"{_PREFIX}{execution_id}-{zlib.crc32(execution_id.encode()):08x}{_FINAL}"


def _is_unkept(path: Path, is_kept: Callable[[str], bool]) -> bool:
    execution_id = re.sub(r"-[0-9a-f]{8}$", "", path.stem).removeprefix(_PREFIX)
    if path.name == _file_name(execution_id):
        return not is_kept(execution_id)
    return path.suffix == _LIVE
