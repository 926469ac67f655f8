"""Kills the orphan worker of a crashed server before the journal's next server starts its own.

A worker ends by itself when its server is gone, with all that it started; but not while its task
holds Python's global lock. What such a task does must not go on beside what the next server runs.

A file beside the journal names that process. A process is killed only if it proves to be a worker
of this project: its command line has the random mark that the server gave it and noted.
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

__all__ = ["WorkerNote"]

_log = logging.getLogger("zmqruntime.server")

_END_SECONDS = 3.0
_MAX_BYTES: Final = 1024
_MARK: Final = re.compile(r"zmqruntime-worker-[0-9a-f]{32}")


class _Note(NamedTuple):
    server: ProcessIdentity
    worker: ProcessIdentity
    mark: str


class WorkerNote:
    """Names, in a private file beside a journal, the worker process of the journal's server.

    Its methods may block for a moment: they are not for the loop's thread.

    Args:
        journal: the one that this process alone uses; None: nothing is noted.
    """

    def __init__(self, journal: Path | None) -> None:
        self._path = journal and journal.resolve().with_name(f"{journal.name}.worker")

    def write(self, worker: ProcessIdentity, mark: str) -> None:
        """Note the worker that this process has started, with the mark in its command line."""
        if self._path is not None:
            try:
                note = open_private(self._path, write=True, create=True, truncate=True)
                with os.fdopen(note, "w", encoding="ascii") as file:
                    file.write(f"{ProcessIdentity.current()} {worker} {mark}")
            except OSError as error:
                _log.warning("a worker that outlives this server will not be found: %s", error)

    def remove(self) -> None:
        """Note that it has ended."""
        if self._path is not None:
            with contextlib.suppress(OSError):  # It names a process that has ended: it may stay.
                self._path.unlink(missing_ok=True)

    def end_leftover(self) -> None:
        """Kill the worker that was noted last, and all that it started, if its server is gone."""
        note = self._read()
        process = note.worker.find() if note and note.worker.is_running() else None
        if note is None or process is None or note.server.is_running():
            return
        if not _has_mark(process, note.mark):
            _log.warning(
                "process %d, which %s names, is not a worker of this journal and is left alone: "
                "remove that file",
                process.pid,
                self._path,
            )
            return
        _log.warning("killing orphan worker process %d of an earlier server", process.pid)
        kill_process_tree(process)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(_END_SECONDS)

    def _read(self) -> _Note | None:
        if self._path is None:
            return None
        try:
            with os.fdopen(open_private(self._path), "rb") as file:
                server, worker, mark = file.read(_MAX_BYTES).decode("ascii").split()
            return _Note(ProcessIdentity.parse(server), ProcessIdentity.parse(worker), mark)
        except FileNotFoundError:
            return None
        except OSError as error:  # `UnsafePath`: another user may have written it.
            _log.warning("worker note ignored: %s", error)
            return None
        except ValueError:  # Cut short, as by a power cut, or written by an earlier version.
            return None


def _has_mark(process: psutil.Process, mark: str) -> bool:
    """Whether a process was started as a worker with exactly this mark."""
    try:
        return _MARK.fullmatch(mark) is not None and mark in process.cmdline()
    except psutil.Error:  # It has ended meanwhile, or is another user's.
        return False
