"""Makes the helpers beside the tests importable, here and in processes that inherit the path."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

# That a machine is slow is no failure.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def logger_is_left_as_it_was() -> Iterator[None]:
    """Commands that are called in this process set it up for a process of their own."""
    logger = logging.getLogger("zmqruntime")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers
