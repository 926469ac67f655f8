"""The worker's way out for progress: it holds up a task for a moment, and never for long."""

from __future__ import annotations

import zmq

from zmqruntime.transport import send_frames

__all__ = ["HIGH_WATER_MARK", "ProgressOutbox"]

HIGH_WATER_MARK = 1000
"""How many messages may wait on either side of the link between a worker and its server."""

_PATIENCE_MS = 1000


class ProgressOutbox:
    """Sends reports while the server takes them, and drops them when it does not.

    A server that is only slower than the task slows it down: a report waits for room. One that
    makes no room for a second has stopped; from then on reports are dropped until there is
    room, but for the latest. For one thread at a time.
    """

    def __init__(self, link: zmq.Socket[bytes], patience_ms: int = _PATIENCE_MS) -> None:
        self._link = link
        self._patience_ms = patience_ms
        self._latest: tuple[bytes, bytes] | None = None

    def send(self, head: bytes, body: bytes) -> None:
        """Send a report, or drop the one before it that could not be sent either."""
        try:
            send_frames(self._link, head, body)
        except zmq.Again:
            is_patient = self._latest is None
            if is_patient and self._link.poll(self._patience_ms, zmq.POLLOUT):
                send_frames(self._link, head, body)
            else:
                self._latest = head, body
        else:
            self._latest = None

    def flush(self) -> None:
        """Send the latest report if it was dropped, however long that takes."""
        latest, self._latest = self._latest, None
        if latest is not None:
            self._link.send_multipart(latest)
