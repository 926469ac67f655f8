"""Clients that are programs in another language."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from places import ChildProcess, Place
from waiting import PATIENCE

__all__ = ["Output", "Peer"]


@dataclass(frozen=True)
class Output:
    """The output and exit code of a program."""

    code: int
    out: str
    errors: str


@dataclass(frozen=True)
class Peer:
    """A program that is a client of a place's server."""

    program: Sequence[str]
    options: Sequence[str]
    place: Place

    def run(self, *arguments: str) -> Output:
        """Run the program to its end."""
        ended = subprocess.run(
            [*self.program, *self.options, *arguments],
            env=os.environ | self.place.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        return Output(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: str) -> ChildProcess:
        """Start the program; the place terminates it when the test does not."""
        return self.place.run([*self.program, *self.options, *arguments])
