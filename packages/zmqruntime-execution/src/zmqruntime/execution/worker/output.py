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

from zmqruntime.execution.worker.logs import TaskLogs

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
        for stream in (sys.stdout, sys.stderr):
            # Whoever looks at a running task sees its latest line.
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(line_buffering=True)

    def begin(self, execution_id: str) -> None:
        """Lead what is written from now on to the file of an execution."""
        _flush()
        try:
            if self._file is None:
                # Appending, so that it goes on at the new end when the file was cut meanwhile.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._file = os.open(self._logs.live_path(self._worker), flags, 0o600)
            for stream in _STREAMS:
                os.dup2(self._file, stream)
        except OSError as error:
            _complain(execution_id, error)

    def end(self, execution_id: str) -> None:
        """Lead it back, and put what was written, if anything was, where it stays."""
        _flush()
        for before, stream in zip(self._before, _STREAMS, strict=True):
            os.dup2(before, stream)
        if self._file is None:
            return
        try:
            if os.fstat(self._file).st_size:
                os.close(self._file)
                self._file = None
                self._logs.seal(self._worker, execution_id)
        except OSError as error:
            _complain(execution_id, error)


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
    for stream in (sys.stdout, sys.stderr):
        # A task may have closed it; there is none in a program without a console.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
