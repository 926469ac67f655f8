"""`ExecutionStatusPoller`: an execution's status by long polling."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from zmqruntime.execution.client.wait import AskStatus, WaitPolicy, seconds_beside
from zmqruntime.messages import ExecutionRecord
from zmqruntime.transport.lowlevel import Deadline

__all__ = ["ExecutionStatusPoller"]


class ExecutionStatusPoller:
    """Follows an execution by status requests alone, for peers without a data channel.

    The server holds each request until the execution has ended, so its end is reported without
    delay; changes before it once per ``poll_interval``.

    Args:
        ask_status: requests a record from a server, with a hold.
        policy: its ``poll_interval`` is the hold of each request.
    """

    def __init__(self, ask_status: AskStatus, policy: WaitPolicy | None = None) -> None:
        self._ask_status = ask_status
        self._policy = policy or WaitPolicy()

    def follow(self, execution_id: str, timeout: float | None = None) -> Iterator[ExecutionRecord]:
        """Yield the present record, then each that differs from the last, up to the final one.

        After ``timeout`` seconds it stops without an error.
        """
        deadline = Deadline.after(timeout)
        record = self._ask_status(execution_id, 0.0, seconds_beside(deadline, 0.0))
        yield record
        while not record.status.is_terminal and not deadline.expired:
            hold = min(self._policy.poll_interval, deadline.remaining)
            latest = self._ask_status(execution_id, hold, seconds_beside(deadline, hold))
            if latest != record:
                record = latest
                yield record

    def run(
        self,
        execution_id: str,
        on_status: Callable[[ExecutionRecord], None],
        timeout: float | None = None,
    ) -> None:
        """Call ``on_status`` with each record of `follow`."""
        for record in self.follow(execution_id, timeout):
            on_status(record)
