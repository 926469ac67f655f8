"""The events of an execution as numbered values, and their JSON for subscribers.

The JSON is composed without building and validating a model for each event, and only where there
are subscribers. Execution ids need no escaping: their characters are restricted.
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

# Bounds of one message: the high-water mark of a subscriber's queue counts messages.
_MAX_EVENTS: Final = 8
_MAX_BYTES: Final = 16 * 1024


class ProgressReport(NamedTuple):
    """A progress report of a task."""

    sequence: int
    timestamp: float
    body: bytes
    """A JSON object without the fields that the server adds."""


class StateChange(NamedTuple):
    """A transition of an execution to ``status``."""

    sequence: int
    timestamp: float
    status: ExecutionStatus
    submitted_at: float
    started_at: float | None
    error: ExecutionErrorInfo | None

    @property
    def finished_at(self) -> float | None:
        """The end of the execution, if the state is terminal."""
        return self.timestamp if self.status.is_terminal else None


ExecutionEvent = ProgressReport | StateChange


def compose_event(execution_id: str, event: ExecutionEvent) -> bytes:
    """Return the JSON of an event."""
    if isinstance(event, ProgressReport):
        # The server's fields come before those that the task sent.
        return _progress_head(execution_id, event.timestamp) % event.sequence + event.body[1:]
    # Unpacked: access by name costs more.
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
    """Yield the JSON of events in batches that fit into one message each."""
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
    """Return the JSON of an error, or ``null``."""
    return b"null" if error is None else encode(error)


@lru_cache(maxsize=1)
def _progress_head(execution_id: str, timestamp: float) -> bytes:
    """Return the beginning of reports with the same timestamp, with a place for their number."""
    head = (
        f'{{"type":"progress","execution_id":"{execution_id}",'
        f'"sequence":%d,"timestamp":{timestamp!r},'
    )
    return head.encode()


def compose_number(value: float | None) -> str:
    """Return the JSON of a number, or ``null``."""
    return "null" if value is None else repr(value)
