"""The end of a worker that outlived its server, before the journal's next server starts its own.

A worker ends by itself when its server is gone, with all that it started; but not while its task
holds Python's global lock. What such a task does must not go on beside what the next server runs.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import psutil

from zmqruntime.transport import ProcessIdentity, kill_process_tree

__all__ = ["WorkerNote"]

_log = logging.getLogger("zmqruntime.server")

_END_SECONDS = 3.0


class WorkerNote:
    """Says, in a file beside a journal, which process is the worker of which server.

    Its methods may block for a moment: they are not for the loop's thread.

    Args:
        journal: the one that this process alone uses; None: nothing is noted.
    """

    def __init__(self, journal: Path | None) -> None:
        self._path = journal and journal.resolve().with_name(f"{journal.name}.worker")

    def write(self, worker: ProcessIdentity) -> None:
        """Note the worker that this process has started."""
        if self._path is not None:
            try:
                self._path.write_text(f"{ProcessIdentity.current()} {worker}", "ascii")
            except OSError as error:
                _log.warning("a worker that outlives this server will not be found: %s", error)

    def remove(self) -> None:
        """Note that it has ended."""
        if self._path is not None:
            with contextlib.suppress(OSError):  # Nobody has its name again: it may as well stay.
                self._path.unlink(missing_ok=True)

    def end_leftover(self) -> None:
        """End the worker that was noted last, and all that it started, if its server is gone."""
        server, worker = self._read()
        process = worker.find() if worker and worker.is_running() else None
        if process is None or server is None or server.is_running():
            return
        _log.warning("ending worker process %d, which an earlier server left", process.pid)
        kill_process_tree(process)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(_END_SECONDS)

    def _read(self) -> tuple[ProcessIdentity, ProcessIdentity] | tuple[None, None]:
        if self._path is None:
            return None, None
        try:
            server, worker = self._path.read_text("ascii").split()
            return ProcessIdentity.parse(server), ProcessIdentity.parse(worker)
        except (OSError, ValueError):  # There is none, or it was cut short.
            return None, None
