"""Enumerations of the protocol: execution status, progress scope, shutdown mode."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ExecutionStatus", "ProgressScope", "ShutdownMode"]


class ExecutionStatus(StrEnum):
    """Status of an execution: ``queued -> running -> complete | failed | cancelled``."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the execution has ended. A terminal status never changes."""
        return self in _TERMINAL


_TERMINAL = frozenset({ExecutionStatus.COMPLETE, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})


class ProgressScope(StrEnum):
    """The events of a subscription: of the client's own executions, or of all."""

    OWN = "own"
    ALL = "all"


class ShutdownMode(StrEnum):
    """How a server stops: after its accepted executions, or after interrupting them."""

    DRAIN = "drain"
    NOW = "now"
