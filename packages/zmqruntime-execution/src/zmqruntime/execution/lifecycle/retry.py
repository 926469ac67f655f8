"""Which failed executions run again, and after which backoff."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from zmqruntime.messages import MAX_ATTEMPTS, MAX_BACKOFF_SECONDS, ErrorKind
from zmqruntime.transport.lowlevel import Backoff, check_number, check_type, parse_choice

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.execution import Execution
    from zmqruntime.messages import AttemptInfo, ExecutionErrorInfo

__all__ = ["FailurePolicy", "RestartPolicy", "RetryPolicy", "make_attempt"]

# Of an earlier attempt's message, and of the end of its traceback: a record with all of them has to
# fit into a message beside a result.
_MAX_CHARACTERS = 500


class RestartPolicy(StrEnum):
    """What becomes of an execution whose server ends, or dies, while it runs."""

    FAIL = "fail"
    """It fails, as interrupted: it may have done a part of its work."""
    REQUEUE = "requeue"
    """It runs again from its beginning, up to `MAX_ATTEMPTS` times: its task may be what ends the
    server."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A server's default for executions whose request does not set it.

    Args:
        max_attempts: how often an execution may run, the first time included.
        retry_on: the kinds of error after which it runs again.
        backoff_seconds: how long the second attempt waits; each further one waits twice as
            long as the one before, up to an hour.

    Raises:
        TypeError: an argument has the wrong type; the error names it.
        ValueError: an argument is out of range, or ``retry_on`` has an unknown kind of error.
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
        limit = self.max_attempts if wish.max_attempts is None else wish.max_attempts
        kinds = self.retry_on if wish.retry_on is None else wish.retry_on
        if execution.attempt >= limit or error.kind not in kinds:
            return None
        first = self.backoff_seconds if wish.backoff_seconds is None else wish.backoff_seconds
        return Backoff(first, MAX_BACKOFF_SECONDS).compute_delay(execution.attempt)


class FailurePolicy(NamedTuple):
    """A server's settings that decide whether a failed execution runs again."""

    retry: RetryPolicy
    on_restart: RestartPolicy

    def delay(
        self, execution: Execution, error: ExecutionErrorInfo, *, server_ends: bool
    ) -> float | None:
        """Return the seconds until a failed execution runs again; None: it does not."""
        if (
            server_ends
            and error.kind is ErrorKind.INTERRUPTED
            and self.on_restart is RestartPolicy.REQUEUE
            and execution.attempt < MAX_ATTEMPTS
        ):
            return 0.0
        return self.retry.delay(execution, error)


def make_attempt(execution: Execution, error: ExecutionErrorInfo, now: float) -> AttemptInfo:
    """Return the record of a failed attempt that is followed by another."""
    from zmqruntime.messages import AttemptInfo  # A worker imports this module, and needs none.

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
