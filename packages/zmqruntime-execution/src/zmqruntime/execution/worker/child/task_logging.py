"""Root logger of a worker: writes the records of a task to stderr, and so to its task log."""

from __future__ import annotations

import logging
import sys

from zmqruntime.transport import RecordFormatter

__all__ = ["configure_logging"]


def configure_logging() -> None:
    """Add a stderr handler at level INFO to the root logger, unless it is configured.

    Called after the application's `setup_worker`, so that its own configuration stands. The handler
    that functions such as ``logging.info`` add to a root logger without handlers does not count.
    """
    root = logging.getLogger()
    if root.handlers and not _is_implicit(root):
        return
    for handler in root.handlers.copy():
        root.removeHandler(handler)
    root.addHandler(_StderrHandler())
    if root.level == logging.WARNING:  # The default.
        root.setLevel(logging.INFO)


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg] # not generic at run time
    """Writes to the current ``sys.stderr``, as `logging.lastResort` does."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(RecordFormatter(multiline=True))
        self.addFilter(_is_for_task_log)

    def emit(self, record: logging.LogRecord) -> None:
        # Missing in a program without a console, or deleted by a task.
        if (stream := getattr(sys, "stderr", None)) is not None:
            self.stream = stream
            super().emit(record)


def _is_for_task_log(record: logging.LogRecord) -> bool:
    """Whether a record belongs in a task log: of this library's own records, only warnings."""
    is_ours = record.name == "zmqruntime" or record.name.startswith("zmqruntime.")
    return not is_ours or record.levelno >= logging.WARNING


def _is_implicit(root: logging.Logger) -> bool:
    """Whether the handlers are those of ``logging.basicConfig()`` without arguments."""
    if len(root.handlers) != 1 or root.level != logging.WARNING:
        return False
    (handler,) = root.handlers
    return (
        type(handler) is logging.StreamHandler
        and handler.level == logging.NOTSET
        and handler.formatter is not None
        and handler.formatter._fmt == logging.BASIC_FORMAT
    )
