"""Kills the orphan worker of a crashed server before the journal's next server starts its own.

A worker exits with its server, but not while its task holds Python's global lock (GIL). Such a
task must not run beside the executions of the next server.

A PID file beside the journal names the worker. A process is killed only if its command line
contains the random mark in that file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from zmqruntime.transport import ProcessIdentity
from zmqruntime.transport.lowlevel import kill_process_tree, open_private

__all__ = ["WorkerPidFile"]

_log = logging.getLogger("zmqruntime.server")

_KILL_SECONDS = 3.0
_MAX_BYTES: Final = 1024
_MARK: Final = re.compile(r"zmqruntime-worker-[0-9a-f]{32}")


class _Entry(NamedTuple):
    server: ProcessIdentity
    worker: ProcessIdentity
    mark: str


class WorkerPidFile:
    """PID file of the worker of a journal's server: private, beside the journal.

    Its methods block on the file system: do not call them in the loop's thread.

    Args:
        journal: a journal that this process has locked; None: no file is written.
    """

    def __init__(self, journal: Path | None) -> None:
        self._path = journal and journal.resolve().with_name(f"{journal.name}.worker")

    def write(self, worker: ProcessIdentity, mark: str) -> None:
        """Write the identities of this server and its worker, and the worker's mark."""
        if self._path is not None:
            try:
                descriptor = open_private(self._path, write=True, create=True, truncate=True)
                with os.fdopen(descriptor, "w", encoding="ascii") as file:
                    file.write(f"{ProcessIdentity.current()} {worker} {mark}")
            except OSError as error:
                _log.warning(
                    "worker PID file not written: %s; an orphan of this server will not be found",
                    error,
                )

    def remove(self) -> None:
        """Remove the file of a worker that has exited."""
        if self._path is not None:
            with contextlib.suppress(OSError):  # A stale file is ignored.
                self._path.unlink(missing_ok=True)

    def kill_orphan(self) -> None:
        """Kill the worker in the file, and its descendants, if its server is gone."""
        entry = self._read()
        process = entry.worker.find() if entry and entry.worker.is_running() else None
        if entry is None or process is None or entry.server.is_running():
            return
        if not _has_mark(process, entry.mark):
            _log.warning(
                "process %d in %s is not a worker of this journal and is not killed: "
                "remove that file",
                process.pid,
                self._path,
            )
            return
        _log.warning("killing orphan worker process %d of an earlier server", process.pid)
        kill_process_tree(process)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(_KILL_SECONDS)

    def _read(self) -> _Entry | None:
        if self._path is None:
            return None
        try:
            with os.fdopen(open_private(self._path), "rb") as file:
                server, worker, mark = file.read(_MAX_BYTES).decode("ascii").split()
            return _Entry(ProcessIdentity.parse(server), ProcessIdentity.parse(worker), mark)
        except FileNotFoundError:
            return None
        except OSError as error:  # `UnsafePath`: another user may have written it.
            _log.warning("worker PID file ignored: %s", error)
            return None
        except ValueError:  # Truncated, as by a power cut.
            return None


def _has_mark(process: psutil.Process, mark: str) -> bool:
    """Whether a process was started as the worker with this mark."""
    try:
        return _MARK.fullmatch(mark) is not None and mark in process.cmdline()
    except psutil.Error:  # It has exited, or is another user's.
        return False
