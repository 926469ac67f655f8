"""What a task writes to its stdout and stderr, native code and child processes included.

The two file descriptors lead to a file while a task runs. So nothing is lost when the worker
crashes, and nobody has to read for the task to go on. Between two tasks they lead where the
server's own do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from io import TextIOWrapper

from zmqruntime.execution.worker.task_logs import TaskLogs
from zmqruntime.transport.lowlevel import open_private

__all__ = ["TaskOutput"]

_log = logging.getLogger("zmqruntime.worker")

_STREAMS = (1, 2)


class TaskOutput:
    """Leads the output of one task after the other into a file. For the main thread.

    Args:
        logs: where the files are.
        worker: the name of this worker there.
    """

    def __init__(self, logs: TaskLogs, worker: str) -> None:
        self._logs = logs
        self._worker = worker
        self._before = [_duplicate(stream) for stream in _STREAMS]
        self._file: int | None = None
        self._is_away = False
        for stream in (sys.stdout, sys.stderr):
            # Whoever looks at a running task sees its latest line.
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(line_buffering=True)

    def lead_away(self, execution_id: str) -> None:
        """Lead what is written from now on to the file of an execution."""
        _flush()
        try:
            if self._file is None:
                # Appending, so that it goes on at the new end when the file was cut meanwhile.
                path = self._logs.live_path(self._worker)
                self._file = open_private(path, append=True, create=True)
            self._is_away = True
            for stream in _STREAMS:
                os.dup2(self._file, stream)
        except OSError as error:
            _complain(execution_id, error)

    def keep(self, execution_id: str) -> None:
        """Put what was written, if anything was, where it stays: before its result is told."""
        _flush()
        try:
            # Its end is found sooner than its size; whoever writes appends, wherever this leads.
            if self._file is not None and os.lseek(self._file, 0, os.SEEK_END):
                self.lead_back()
                os.close(self._file)
                self._file = None
                self._logs.seal(self._worker, execution_id)
        except OSError as error:
            _complain(execution_id, error)

    def lead_back(self) -> None:
        """Lead the streams where they led before; nobody waits for that."""
        if self._is_away:
            self._is_away = False
            for before, stream in zip(self._before, _STREAMS, strict=True):
                os.dup2(before, stream)


def _complain(execution_id: str, error: OSError) -> None:
    _log.warning(
        "the output of execution %s is not kept: %s",
        execution_id,
        error,
        extra={"execution_id": execution_id},
    )


def _duplicate(stream: int) -> int:
    try:
        return os.dup(stream)
    except OSError:  # A server without a console has none to begin with.
        return os.open(os.devnull, os.O_WRONLY)


def _flush() -> None:
    for name in ("stdout", "stderr"):
        # A task may have closed, detached, deleted or replaced it; a program without a console
        # has none.
        if (stream := getattr(sys, name, None)) is not None:
            with contextlib.suppress(Exception):
                stream.flush()
