"""Whether an execution that has failed gets another chance, and when."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from zmqruntime.messages import MAX_ATTEMPTS, ErrorKind

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.execution import Execution
    from zmqruntime.execution.lifecycle.retry import RetryPolicy
    from zmqruntime.messages import ExecutionErrorInfo

__all__ = ["Chances", "RestartPolicy"]


class RestartPolicy(StrEnum):
    """What becomes of an execution whose server ends, or dies, while it runs."""

    FAIL = "fail"
    """It fails, as interrupted: it may have done a part of its work."""
    REQUEUE = "requeue"
    """It runs again, from its beginning; up to `MAX_ATTEMPTS` times: it may be what ends them."""


class Chances(NamedTuple):
    """What a server says of it, beside what requests say themselves."""

    retry: RetryPolicy
    on_restart: RestartPolicy

    def delay(
        self, execution: Execution, error: ExecutionErrorInfo, *, server_ends: bool
    ) -> float | None:
        """Return the seconds until it runs again; None: it does not."""
        if (
            server_ends
            and error.kind is ErrorKind.INTERRUPTED
            and self.on_restart is RestartPolicy.REQUEUE
            and execution.attempt < MAX_ATTEMPTS
        ):
            return 0.0
        return self.retry.delay(execution, error)
