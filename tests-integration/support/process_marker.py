"""Finds all processes that a test started, directly or not."""

from __future__ import annotations

import os
import uuid

import psutil
from waiting import eventually

__all__ = ["ProcessMarker"]

_VARIABLE = "ZMQRUNTIME_TEST_MARK"


class ProcessMarker:
    """An environment variable, which child processes inherit."""

    def __init__(self) -> None:
        self._value = uuid.uuid4().hex

    @property
    def environment(self) -> dict[str, str]:
        """The environment variable that marks a process."""
        return {_VARIABLE: self._value}

    def find(self) -> list[psutil.Process]:
        """Return the marked processes that run."""
        return [process for process in psutil.process_iter() if self._is_on(process)]

    def assert_gone(self, patience: float = 20.0) -> None:
        """Wait until no marked process runs.

        Raises:
            AssertionError: some still ran after ``patience`` seconds, and were killed.
        """
        try:
            eventually(lambda: not self.find(), "all marked processes have ended", patience)
        except AssertionError:
            left = self.find()
            lines = [f"{process.pid}: {' '.join(process.cmdline())}" for process in left]
            for process in left:
                process.kill()
            raise AssertionError("these processes were left behind: " + "; ".join(lines)) from None

    def _is_on(self, process: psutil.Process) -> bool:
        if process.pid == os.getpid():
            return False
        try:
            return process.environ().get(_VARIABLE) == self._value
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            return False
