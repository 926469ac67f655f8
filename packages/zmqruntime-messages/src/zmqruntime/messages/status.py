"""The words of the protocol: states of an execution, scopes, ways to shut down."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ExecutionStatus", "ProgressScope", "ShutdownMode"]


class ExecutionStatus(StrEnum):
    """Where an execution is: ``queued -> running -> complete | failed | cancelled``."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the execution has ended; a terminal status never changes."""
        return self in _TERMINAL


_TERMINAL = frozenset({ExecutionStatus.COMPLETE, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})


class ProgressScope(StrEnum):
    """Whose events a progress subscriber wants: its own, or everybody's."""

    OWN = "own"
    ALL = "all"


class ShutdownMode(StrEnum):
    """How a server ends: after the work it has accepted, or at once."""

    DRAIN = "drain"
    NOW = "now"
