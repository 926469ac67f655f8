"""Finding every process that a test has started, however far removed from it."""

from __future__ import annotations

import os
import uuid

import psutil
from waiting import eventually

__all__ = ["Mark"]

_VARIABLE = "ZMQRUNTIME_TEST_MARK"


class Mark:
    """A variable in the environment, which a process hands on to all that it starts."""

    def __init__(self) -> None:
        self._value = uuid.uuid4().hex

    @property
    def environment(self) -> dict[str, str]:
        """What to start a process with."""
        return {_VARIABLE: self._value}

    def find(self) -> list[psutil.Process]:
        """Return every process that bears the mark and runs."""
        return [process for process in psutil.process_iter() if self._is_on(process)]

    def assert_gone(self, patience: float = 20.0) -> None:
        """Wait until nobody bears it. Whoever does too long is ended, and the test fails."""
        try:
            eventually(lambda: not self.find(), "every process has ended", patience)
        except AssertionError:
            left = self.find()
            told = [f"{process.pid}: {' '.join(process.cmdline())}" for process in left]
            for process in left:
                process.kill()
            raise AssertionError("these processes were left behind: " + "; ".join(told)) from None

    def _is_on(self, process: psutil.Process) -> bool:
        if process.pid == os.getpid():
            return False
        try:
            return process.environ().get(_VARIABLE) == self._value
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            return False
