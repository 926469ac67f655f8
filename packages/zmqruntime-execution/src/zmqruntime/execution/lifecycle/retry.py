"""When a failed execution is tried again, and after how long."""

from __future__ import annotations

from dataclasses import dataclass

from zmqruntime.execution.lifecycle.execution import Execution
from zmqruntime.messages import (
    MAX_ATTEMPTS,
    MAX_BACKOFF_SECONDS,
    AttemptInfo,
    ErrorKind,
    ExecutionErrorInfo,
)
from zmqruntime.transport.lowlevel import check_number, check_type, parse_choice

__all__ = ["RetryPolicy", "make_attempt"]

# Of an earlier attempt's message, and of its traceback, which tells most at its end: a record
# has to fit into a message beside a result, with all of them.
_MAX_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A server's default for executions that do not say it themselves.

    Args:
        max_attempts: how often an execution may run, the first time included.
        retry_on: the kinds of error after which it runs again.
        backoff_seconds: how long the second attempt waits; each further one waits twice as
            long as the one before, up to an hour.

    Raises:
        TypeError: one of them is of the wrong kind; the error names it.
        ValueError: one is out of its bounds, or no kind of error.
    """

    max_attempts: int = 1
    retry_on: frozenset[ErrorKind] = frozenset(
        {ErrorKind.EXCEPTION, ErrorKind.TIMEOUT, ErrorKind.WORKER_DIED}
    )
    backoff_seconds: float = 1.0

    def __post_init__(self) -> None:
        check_number("max_attempts", self.max_attempts, ge=1, le=MAX_ATTEMPTS, whole=True)
        check_number("backoff_seconds", self.backoff_seconds, ge=0, le=MAX_BACKOFF_SECONDS)
        check_type("retry_on", self.retry_on, frozenset, set, tuple, list)
        kinds = frozenset(parse_choice("retry_on", kind, ErrorKind) for kind in self.retry_on)
        object.__setattr__(self, "retry_on", kinds)

    def delay(self, execution: Execution, error: ExecutionErrorInfo) -> float | None:
        """Return the seconds until a failed execution runs again; None: it does not."""
        wish = execution.retry
        most = self.max_attempts if wish.max_attempts is None else wish.max_attempts
        kinds = self.retry_on if wish.retry_on is None else wish.retry_on
        if execution.attempt >= most or error.kind not in kinds:
            return None
        first = self.backoff_seconds if wish.backoff_seconds is None else wish.backoff_seconds
        return min(first * 2.0 ** (execution.attempt - 1), MAX_BACKOFF_SECONDS)


def make_attempt(execution: Execution, error: ExecutionErrorInfo, now: float) -> AttemptInfo:
    """Return what is kept of a run that has failed and will be followed by another."""
    trace = error.traceback
    kept = error.model_copy(
        update={
            "message": error.message[:_MAX_CHARACTERS],
            "traceback": trace and trace[-_MAX_CHARACTERS:],
            "result_repr": None,
        }
    )
    return AttemptInfo(
        attempt=execution.attempt,
        started_at=execution.started_at or now,
        finished_at=now,
        error=kept,
    )
