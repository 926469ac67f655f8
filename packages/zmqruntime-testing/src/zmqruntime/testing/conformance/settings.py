"""The settings of a run."""

from __future__ import annotations

from dataclasses import dataclass

from zmqruntime.messages import ShutdownMode
from zmqruntime.testing.conformance.target import Target

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The server under test, and its limits."""

    target: Target
    patience: float = 10.0
    """Timeout of each reply and event, in seconds."""
    slots: int = 1
    """Number of tasks that the server runs in parallel."""
    ending: ShutdownMode | None = None
    """The mode of the final shutdown; None for no shutdown."""
    max_queued: int | None = None
    """Queue limit of the server; None if unknown."""
    history_limit: int | None = None
    """Number of read records that the server keeps; None if unknown."""
