"""Events as bytes, composed without building and checking a model for each.

An execution id needs no escaping: its characters are those of a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqruntime.messages import encode

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle import Execution

__all__ = ["compose_progress_event", "compose_state_event"]


def compose_progress_event(
    execution_id: str, sequence: int, timestamp: float, body: bytes
) -> bytes:
    """Return a progress event: the server's fields in front of the object that a task sent."""
    head = (
        f'{{"type":"progress","execution_id":"{execution_id}",'
        f'"sequence":{sequence},"timestamp":{timestamp!r},'
    )
    return head.encode() + body[1:]


def compose_state_event(execution: Execution, sequence: int, timestamp: float) -> bytes:
    """Return the event that tells the present status of an execution."""
    error = b"null" if execution.error is None else encode(execution.error)
    head = (
        f'{{"type":"state","execution_id":"{execution.execution_id}",'
        f'"sequence":{sequence},"timestamp":{timestamp!r},"status":"{execution.status}",'
        f'"submitted_at":{execution.submitted_at!r},'
        f'"started_at":{_number(execution.started_at)},'
        f'"finished_at":{_number(execution.finished_at)},"error":'
    )
    return head.encode() + error + b"}"


def _number(value: float | None) -> str:
    return "null" if value is None else repr(value)
