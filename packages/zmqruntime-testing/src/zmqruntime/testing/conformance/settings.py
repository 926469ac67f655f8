"""What a run of the checks is told."""

from __future__ import annotations

from dataclasses import dataclass

from zmqruntime.messages import ShutdownMode
from zmqruntime.testing.conformance.target import Target

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the server is, and how to treat it."""

    target: Target
    patience: float = 10.0
    """How long to wait for what is due, in seconds."""
    slots: int = 1
    """How many tasks the server runs at once."""
    ending: ShutdownMode | None = None
    """How to end the server at last; None: it stays."""
    max_queued: int | None = None
    """How many executions may wait; None: it is not known."""
    history_limit: int | None = None
    """How many executions are kept that have ended and were read; None: it is not known."""
