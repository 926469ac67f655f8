"""Captures the stdout and stderr of a task, with those of native code and child processes.

The two file descriptors are redirected to a file while a task runs: a crash loses no output, and
no reader is needed, as a pipe needs one. Between tasks they are the server's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from io import TextIOWrapper

from zmqruntime.execution.worker.task_logs import TaskLogFiles
from zmqruntime.transport.lowlevel import open_private

__all__ = ["TaskOutput"]

_log = logging.getLogger("zmqruntime.worker")

_STREAMS = (1, 2)


class TaskOutput:
    """Redirects the output of one task after the other to a file. For the main thread.

    Args:
        logs: the log files of the server.
        worker: the name of this worker.
    """

    def __init__(self, logs: TaskLogFiles, worker: str) -> None:
        self._logs = logs
        self._worker = worker
        self._originals = [_duplicate(stream) for stream in _STREAMS]
        self._file: int | None = None
        self._is_redirected = False
        for stream in (sys.stdout, sys.stderr):
            # So that a running task's latest line is in its log.
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(line_buffering=True)

    def redirect(self, execution_id: str) -> None:
        """Redirect output to the live file, before an execution."""
        _flush()
        try:
            if self._file is None:
                # Appending: after a trim, output continues at the new end.
                path = self._logs.live_path(self._worker)
                self._file = open_private(path, append=True, create=True)
            self._is_redirected = True
            for stream in _STREAMS:
                os.dup2(self._file, stream)
        except OSError as error:
            _log_failure(execution_id, error)

    def seal(self, execution_id: str) -> None:
        """Seal the output, if there is any, as the execution's log, before its result is sent."""
        _flush()
        try:
            # A seek is faster than a stat, and harmless: all writes append.
            if self._file is not None and os.lseek(self._file, 0, os.SEEK_END):
                self.restore()
                os.close(self._file)
                self._file = None
                self._logs.seal(self._worker, execution_id)
        except OSError as error:
            _log_failure(execution_id, error)

    def restore(self) -> None:
        """Restore the original streams; after the result is sent, to save its receiver the wait."""
        if self._is_redirected:
            self._is_redirected = False
            for original, stream in zip(self._originals, _STREAMS, strict=True):
                os.dup2(original, stream)


def _log_failure(execution_id: str, error: OSError) -> None:
    _log.warning(
        "the output of execution %s is not kept: %s",
        execution_id,
        error,
        extra={"execution_id": execution_id},
    )


def _duplicate(stream: int) -> int:
    try:
        return os.dup(stream)
    except OSError:  # Closed, as in a server without a console.
        return os.open(os.devnull, os.O_WRONLY)


def _flush() -> None:
    for name in ("stdout", "stderr"):
        # A task may have closed, detached, deleted or replaced it; without a console it is None.
        if (stream := getattr(sys, name, None)) is not None:
            with contextlib.suppress(Exception):
                stream.flush()
