"""Where the records go that a task logs: to stderr, which leads to its execution's log."""

from __future__ import annotations

import logging
import sys

from zmqruntime.transport import RecordFormatter

__all__ = ["set_up_logging"]


def set_up_logging() -> None:
    """Have the root logger write records from INFO on to stderr, unless it is configured.

    Called when the application has set up its worker: what it configured there, or when its
    module was imported, stands. What the functions of `logging`, such as ``logging.info``, add on
    their own to a root logger without handlers counts as not configured.
    """
    root = logging.getLogger()
    if root.handlers and not _is_implicit(root):
        return
    for handler in root.handlers.copy():
        root.removeHandler(handler)
    root.addHandler(_StderrHandler())
    if root.level == logging.WARNING:  # As Python sets it.
        root.setLevel(logging.INFO)


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg] # not generic at run time
    """Writes to what is ``sys.stderr`` now, as `logging.lastResort` does."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(RecordFormatter(multiline=True))
        self.addFilter(_concerns_task)

    def emit(self, record: logging.LogRecord) -> None:
        # A program without a console has none; a task may have deleted it.
        if (stream := getattr(sys, "stderr", None)) is not None:
            self.stream = stream
            super().emit(record)


def _concerns_task(record: logging.LogRecord) -> bool:
    """Whether a record belongs in the log of a task: of this library's own, warnings only."""
    is_ours = record.name == "zmqruntime" or record.name.startswith("zmqruntime.")
    return not is_ours or record.levelno >= logging.WARNING


def _is_implicit(root: logging.Logger) -> bool:
    """Whether the handlers are those that ``logging.basicConfig()`` adds without arguments."""
    if len(root.handlers) != 1 or root.level != logging.WARNING:
        return False
    (handler,) = root.handlers
    return (
        type(handler) is logging.StreamHandler
        and handler.level == logging.NOTSET
        and handler.formatter is not None
        and handler.formatter._fmt == logging.BASIC_FORMAT
    )
