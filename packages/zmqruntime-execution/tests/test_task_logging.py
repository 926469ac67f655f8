"""The root logger of a worker: ours unless the application has configured its own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from zmqruntime.execution.worker.child.task_logging import configure_logging
from zmqruntime.transport import RecordFormatter


@contextlib.contextmanager
def new_root() -> Iterator[logging.Logger]:
    """Provide the root logger as a new process has it."""
    # Within a test, since pytest adds handlers of its own when one begins.
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    root.setLevel(logging.WARNING)
    try:
        yield root
    finally:
        root.handlers = handlers
        root.setLevel(level)


def test_a_root_logger_without_handlers_gets_one(capsys: pytest.CaptureFixture[str]) -> None:
    with new_root() as root:
        configure_logging()
        configure_logging()
        (handler,) = root.handlers
        assert isinstance(handler.formatter, RecordFormatter)
        assert root.level == logging.INFO
        logging.getLogger("zmqruntime").info("ours")
        logging.getLogger("zmqruntimes").info("theirs")
    assert capsys.readouterr().err.endswith(" INFO zmqruntimes: theirs\n")


def test_a_level_that_the_application_has_set_stands() -> None:
    with new_root() as root:
        root.setLevel(logging.ERROR)
        configure_logging()
        assert root.level == logging.ERROR
        assert len(root.handlers) == 1


def test_a_handler_that_logging_has_added_on_its_own_is_replaced() -> None:
    with new_root() as root:
        logging.info("loaded")
        (implicit,) = root.handlers
        configure_logging()
        assert implicit not in root.handlers
        assert len(root.handlers) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"format": "%(message)s"},
        {"level": logging.DEBUG},
        {"handlers": [logging.NullHandler()]},
        {"handlers": [logging.NullHandler(), logging.NullHandler()]},
    ],
)
def test_a_configured_root_logger_is_left_alone(options: dict[str, Any]) -> None:
    with new_root() as root:
        logging.basicConfig(**options)
        before, level = list(root.handlers), root.level
        configure_logging()
        assert (root.handlers, root.level) == (before, level)


def test_a_process_without_standard_error_logs_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with new_root():
        configure_logging()
        monkeypatch.setattr("sys.stderr", None)
        logging.getLogger("lab").info("words")
