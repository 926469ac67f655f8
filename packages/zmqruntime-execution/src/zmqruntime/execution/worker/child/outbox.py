"""Sends progress with backpressure: a slow server slows the task, a stuck one does not block it."""

from __future__ import annotations

import contextlib

from zmqruntime.execution.worker.child.link_client import LinkClient, LinkClosed
from zmqruntime.execution.worker.protocol import PROGRESS

__all__ = ["ProgressOutbox"]

_TIMEOUT_SECONDS = 1.0


class ProgressOutbox:
    """Sends the progress of one execution. For one thread at a time.

    A report waits for buffer space up to the timeout. After a timeout, reports are dropped without
    a wait until there is space again; the latest dropped one is kept and sent later.
    """

    def __init__(
        self, link: LinkClient, execution_id: str, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self.execution_id = execution_id
        self._link = link
        self._timeout_seconds = timeout_seconds
        self._latest: bytes | None = None

    def send(self, body: bytes) -> None:
        """Send a report, or keep it in place of the last one that was not sent."""
        timeout = self._timeout_seconds if self._latest is None else 0.0
        try:
            is_sent = self._link.send_within(timeout, PROGRESS, self.execution_id, body)
        except LinkClosed:
            return  # The server is gone, and this process exits with it.
        self._latest = None if is_sent else body

    def flush(self) -> None:
        """Send the latest report if it was not sent, without a timeout."""
        latest, self._latest = self._latest, None
        if latest is not None:
            self._link.send(PROGRESS, self.execution_id, latest)

    def close(self) -> None:
        """Send what is left, within the timeout, and close the link."""
        with contextlib.suppress(LinkClosed):
            latest = self._latest
            if latest is not None:
                self._link.send_within(self._timeout_seconds, PROGRESS, self.execution_id, latest)
            self._link.flush_within(self._timeout_seconds)
        self._link.close()
