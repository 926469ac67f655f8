"""The events of an execution: numbered values, and the bytes that are published of them.

They are composed without building and checking a model for each, and only when somebody wants
them. An execution's name needs no escaping: its characters are those of a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from zmqruntime.messages import ExecutionErrorInfo, ExecutionStatus, encode

__all__ = [
    "ExecutionEvent",
    "ProgressReport",
    "StateChange",
    "compose_error",
    "compose_event",
    "compose_messages",
    "compose_number",
]

# Of one message: as many wait in the server for each slow subscriber as its mark says.
_MAX_EVENTS: Final = 8
_MAX_BYTES: Final = 16 * 1024


class ProgressReport(NamedTuple):
    """What a task told of how far it is."""

    sequence: int
    timestamp: float
    body: bytes
    """A JSON object without the fields that the server adds."""


class StateChange(NamedTuple):
    """The move of an execution to ``status``."""

    sequence: int
    timestamp: float
    status: ExecutionStatus
    submitted_at: float
    started_at: float | None
    error: ExecutionErrorInfo | None

    @property
    def finished_at(self) -> float | None:
        """When it has ended: this move was its end."""
        return self.timestamp if self.status.is_terminal else None


ExecutionEvent = ProgressReport | StateChange


def compose_event(execution_id: str, event: ExecutionEvent) -> bytes:
    """Return an event as one frame of the data channel."""
    if isinstance(event, ProgressReport):
        # The server's fields stand in front of those that the task sent.
        return _progress_head(execution_id, event.timestamp) % event.sequence + event.body[1:]
    # Taken apart at once: the name of a field costs more than its place.
    sequence, timestamp, status, submitted_at, started_at, error = event
    head = (
        f'{{"type":"state","execution_id":"{execution_id}",'
        f'"sequence":{sequence},"timestamp":{timestamp!r},'
        f'"status":"{status}","submitted_at":{submitted_at!r},'
        f'"started_at":{compose_number(started_at)},'
        f'"finished_at":{compose_number(event.finished_at)},"error":'
    )
    return b"%b%b}" % (head.encode(), b"null" if error is None else encode(error))


def compose_messages(execution_id: str, events: Sequence[ExecutionEvent]) -> Iterator[list[bytes]]:
    """Yield events as JSON, as many together as may be in one message."""
    together: list[bytes] = []
    size = 1
    for event in events:
        composed = compose_event(execution_id, event)
        size += len(composed) + 1
        if len(together) == _MAX_EVENTS or (size > _MAX_BYTES and together):
            yield together
            together, size = [], len(composed) + 2
        together.append(composed)
    if together:
        yield together


def compose_error(error: ExecutionErrorInfo | None) -> bytes:
    """Return the JSON of an error, or of none."""
    return b"null" if error is None else encode(error)


@lru_cache(maxsize=1)
def _progress_head(execution_id: str, timestamp: float) -> bytes:
    """Return what reports that have come together begin with, but for their numbers."""
    head = (
        f'{{"type":"progress","execution_id":"{execution_id}",'
        f'"sequence":%d,"timestamp":{timestamp!r},'
    )
    return head.encode()


def compose_number(value: float | None) -> str:
    """Return the JSON of a number, or of none."""
    return "null" if value is None else repr(value)
