"""The root logger of a worker gets a handler unless the application has configured it."""

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
    """Provide the root logger of a new process."""
    # Within a test, since pytest adds handlers of its own at its start.
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    root.setLevel(logging.WARNING)
    try:
        yield root
    finally:
        root.handlers = handlers
        root.setLevel(level)


def test_root_logger_without_handlers_gets_one(capsys: pytest.CaptureFixture[str]) -> None:
    with new_root() as root:
        configure_logging()
        configure_logging()
        (handler,) = root.handlers
        assert isinstance(handler.formatter, RecordFormatter)
        assert root.level == logging.INFO
        logging.getLogger("zmqruntime").info("ours")
        logging.getLogger("zmqruntimes").info("theirs")
    assert capsys.readouterr().err.endswith(" INFO zmqruntimes: theirs\n")


def test_level_that_the_application_has_set_stays() -> None:
    with new_root() as root:
        root.setLevel(logging.ERROR)
        configure_logging()
        assert root.level == logging.ERROR
        assert len(root.handlers) == 1


def test_implicit_handler_is_replaced() -> None:
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
def test_configured_root_logger_is_unchanged(options: dict[str, Any]) -> None:
    with new_root() as root:
        logging.basicConfig(**options)
        before, level = list(root.handlers), root.level
        configure_logging()
        assert (root.handlers, root.level) == (before, level)


def test_records_are_dropped_in_a_process_without_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with new_root():
        configure_logging()
        monkeypatch.setattr("sys.stderr", None)
        logging.getLogger("lab").info("words")
