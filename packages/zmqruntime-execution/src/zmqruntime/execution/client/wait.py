"""Waiting for an execution to end: one held request after another, never a tick."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zmqruntime.execution.errors import WaitTimeout
from zmqruntime.messages import MAX_WAIT_SECONDS, ExecutionRecord
from zmqruntime.transport import Deadline, RequestTimeout, ServerLost, check_number
from zmqruntime.transport.backoff import Backoff

__all__ = ["HOLD_SECONDS", "ExecutionWaiter", "WaitPolicy", "seconds_beside"]

HOLD_SECONDS: Final = 30.0
"""How long a server is asked to hold its reply, unless told otherwise."""

_MAX_BACKOFF_SECONDS = 60.0
_SLACK_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0

AskStatus = Callable[[str, float, float | None], ExecutionRecord]
"""Execution id, seconds to hold the reply, seconds for the request beside that."""

Pause = Callable[[float], object]
"""Waits so many seconds before a retry; raises when the client is closed meanwhile."""

Outlast = Callable[[ServerLost, Deadline], None]
"""Returns when a lost server is back; raises the error when it is not by the deadline."""


def seconds_beside(deadline: Deadline, hold: float) -> float | None:
    """Return how long a held request may take beside its hold, to keep the caller's deadline.

    That is until a second after it, for a reply that is on its way. None, which stands for the
    configuration's time, as long as the deadline is far.
    """
    seconds = deadline.remaining - hold + _SLACK_SECONDS
    return seconds if seconds < _PATIENCE_SECONDS else None


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """How patiently to wait. Times are in seconds.

    Raises:
        TypeError: a value is no number; the error names it.
        ValueError: one makes no sense.
    """

    poll_interval: float = HOLD_SECONDS
    """How long the server holds one status request. A result is seen when it is there, not at
    the end of an interval; a short one only makes more requests."""
    max_consecutive_errors: int = 3
    """How many requests in a row may go unanswered before a wait without a deadline gives up;
    one with a deadline goes on until then."""
    retry_backoff_seconds: float = 0.5
    """How long to wait after the first of them; twice as long after each further one, and at
    most a minute."""

    def __post_init__(self) -> None:
        seconds, longest = self.retry_backoff_seconds, _MAX_BACKOFF_SECONDS
        check_number("poll_interval", self.poll_interval, above=0, most=MAX_WAIT_SECONDS)
        check_number("max_consecutive_errors", self.max_consecutive_errors, least=1, whole=True)
        check_number("retry_backoff_seconds", seconds, least=0, most=longest)

    def backoff(self, errors: int) -> float:
        """Return how long to wait after the ``errors``-th unanswered request in a row."""
        return Backoff(self.retry_backoff_seconds, _MAX_BACKOFF_SECONDS).compute_delay(errors)


class ExecutionWaiter:
    """Waits for executions with one policy.

    Args:
        ask_status: asks a server for a record, and has it hold its reply.
        policy: how patiently.
        outlast: waits for a server that was lost; None: its loss is raised at once.
        pause: waits before a retry: `ZMQClient.pause`, which ends when the client is closed.
    """

    def __init__(
        self,
        ask_status: AskStatus,
        policy: WaitPolicy | None = None,
        outlast: Outlast | None = None,
        pause: Pause = time.sleep,
    ) -> None:
        self._pause = pause
        self._ask_status = ask_status
        self._policy = policy or WaitPolicy()
        self._outlast = outlast

    def wait(self, execution_id: str, timeout: float | None = None) -> ExecutionRecord:
        """Return the final record of an execution, as soon as it has one.

        Args:
            execution_id: which.
            timeout: seconds; None for as long as it takes.

        Raises:
            WaitTimeout: it has not ended in time, and goes on.
            RequestTimeout: the server has not answered, time after time or at the deadline.
            ServerLost: the server is gone, and was not back in time.
            UnknownExecution: the server keeps none of this id.
        """
        deadline = Deadline.after(timeout)
        errors = 0
        while True:
            hold = min(self._policy.poll_interval, deadline.remaining)
            try:
                record = self._ask_status(execution_id, hold, seconds_beside(deadline, hold))
            except RequestTimeout:
                errors += 1
                is_endless = deadline.remaining == float("inf")
                if is_endless and errors >= self._policy.max_consecutive_errors:
                    raise
                if deadline.expired:
                    raise
                self._pause(min(self._policy.backoff(errors), deadline.remaining))
                continue
            except ServerLost as lost:
                if self._outlast is None:
                    raise
                self._outlast(lost, deadline)
                continue
            errors = 0
            if record.status.is_terminal:
                return record
            if deadline.expired:
                raise WaitTimeout(
                    f"execution {execution_id} is still {record.status} after {timeout:g} s; "
                    "it goes on"
                )
