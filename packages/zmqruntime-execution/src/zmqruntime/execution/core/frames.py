"""Events as bytes, composed without reading the application's part again."""

from __future__ import annotations

__all__ = ["compose_progress_event"]


def compose_progress_event(
    execution_id: str, sequence: int, timestamp: float, body: bytes
) -> bytes:
    """Return a progress event: the server's fields in front of the object that a task sent.

    An execution id needs no escaping: its characters are those of a name.
    """
    head = (
        f'{{"type":"progress","execution_id":"{execution_id}",'
        f'"sequence":{sequence},"timestamp":{timestamp!r},'
    )
    return head.encode() + body[1:]
