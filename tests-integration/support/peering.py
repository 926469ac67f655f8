"""Peers that are programs of another language."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from places import ChildProcess, Place
from waiting import PATIENCE

__all__ = ["Peer", "Said"]


@dataclass(frozen=True)
class Said:
    """What a program wrote, and how it ended."""

    code: int
    out: str
    errors: str


@dataclass(frozen=True)
class Peer:
    """A program that is a client of the server of a place."""

    program: Sequence[str]
    options: Sequence[str]
    place: Place

    def run(self, *arguments: str) -> Said:
        """Run it to its end."""
        ended = subprocess.run(
            [*self.program, *self.options, *arguments],
            env=os.environ | self.place.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        return Said(ended.returncode, ended.stdout, ended.stderr)

    def start(self, *arguments: str) -> ChildProcess:
        """Start it; the place ends it when the test does not."""
        return self.place.run([*self.program, *self.options, *arguments])
