"""Waiting for the end of an execution, by long polling: successive held status requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from zmqruntime.execution.errors import WaitTimeout
from zmqruntime.messages import MAX_WAIT_SECONDS, ExecutionRecord
from zmqruntime.transport import RequestTimeout, ServerLost
from zmqruntime.transport.lowlevel import Backoff, Deadline, check_number

__all__ = ["HOLD_SECONDS", "ExecutionWaiter", "WaitPolicy", "seconds_beside"]

HOLD_SECONDS: Final = 30.0
"""The default hold of a reply."""

_MAX_BACKOFF_SECONDS = 60.0
_SLACK_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0

AskStatus = Callable[[str, float, float | None], ExecutionRecord]
"""Arguments: execution id, seconds to hold the reply, further seconds for the request."""

Pause = Callable[[float], object]
"""Waits so many seconds before a retry; raises when the client is closed meanwhile."""

Outlast = Callable[[ServerLost, Deadline], None]
"""Returns when a lost server has returned; raises the error if it has not by the deadline."""


def seconds_beside(deadline: Deadline, hold: float) -> float | None:
    """Return the timeout of a held request beyond its hold, to keep the caller's deadline.

    It ends a second after the deadline, for a reply in transit. None while the deadline is far:
    the configured timeout applies.
    """
    seconds = deadline.remaining - hold + _SLACK_SECONDS
    return seconds if seconds < _PATIENCE_SECONDS else None


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """Hold and retries of a wait. Times are in seconds.

    Raises:
        TypeError: a value is not a number; the error names it.
        ValueError: a value is out of range; the error names it.
    """

    poll_interval: float = HOLD_SECONDS
    """How long the server holds one status request. It replies earlier when the execution has
    ended: a short interval only makes more requests."""
    max_consecutive_errors: int = 3
    """How many timeouts in a row end a wait without a deadline; one with a deadline retries
    until then."""
    retry_backoff_seconds: float = 0.5
    """The delay after the first of them, doubled after each further one, up to a minute."""

    def __post_init__(self) -> None:
        seconds, longest = self.retry_backoff_seconds, _MAX_BACKOFF_SECONDS
        check_number("poll_interval", self.poll_interval, gt=0, le=MAX_WAIT_SECONDS)
        check_number("max_consecutive_errors", self.max_consecutive_errors, ge=1, whole=True)
        check_number("retry_backoff_seconds", seconds, ge=0, le=longest)

    def backoff(self, errors: int) -> float:
        """Return the delay after the ``errors``-th timeout in a row."""
        return Backoff(self.retry_backoff_seconds, _MAX_BACKOFF_SECONDS).compute_delay(errors)


class ExecutionWaiter:
    """Waits for executions with one policy.

    Args:
        ask_status: requests a record from a server, with a hold.
        policy: hold and retries.
        outlast: waits for a lost server; None: its loss is raised.
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
        """Return the final record of an execution when it has ended.

        Args:
            execution_id: the execution.
            timeout: seconds; None for no limit.

        Raises:
            WaitTimeout: it has not ended in time; it continues.
            RequestTimeout: the server did not reply, too often or at the deadline.
            ServerLost: the server is gone and did not return in time.
            UnknownExecution: the server keeps no execution of this id.
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
                    "it continues; wait again, or cancel it"
                )
