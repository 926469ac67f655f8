"""The worker's way out for progress: it holds up a task for a moment, and never for long."""

from __future__ import annotations

import contextlib

from zmqruntime.execution.worker.child.link_client import LinkClosed, WorkerLink
from zmqruntime.execution.worker.protocol import PROGRESS

__all__ = ["ProgressOutbox"]

_PATIENCE_SECONDS = 1.0


class ProgressOutbox:
    """Sends one execution's reports while the server takes them, and drops them when it does not.

    A server that is only slower than the task slows it down: a report waits for room. One that
    makes no room for a second has stopped; from then on reports are dropped until there is
    room, but for the latest. For one thread at a time.
    """

    def __init__(
        self, link: WorkerLink, execution_id: str, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self.execution_id = execution_id
        self._link = link
        self._patience_seconds = patience_seconds
        self._latest: bytes | None = None

    def send(self, body: bytes) -> None:
        """Send a report, or drop the one before it that could not be sent either."""
        patience = self._patience_seconds if self._latest is None else 0.0
        try:
            is_sent = self._link.send_within(patience, PROGRESS, self.execution_id, body)
        except LinkClosed:
            return  # The server is gone: this process ends with it, and nobody is left to hear.
        self._latest = None if is_sent else body

    def flush(self) -> None:
        """Send the latest report if it was dropped, however long that takes."""
        latest, self._latest = self._latest, None
        if latest is not None:
            self._link.send(PROGRESS, self.execution_id, latest)

    def close(self) -> None:
        """Send what is left, if the server takes it now or soon, and close the link."""
        with contextlib.suppress(LinkClosed):
            latest = self._latest
            if latest is not None:
                self._link.send_within(self._patience_seconds, PROGRESS, self.execution_id, latest)
            self._link.finish(self._patience_seconds)
        self._link.close()
