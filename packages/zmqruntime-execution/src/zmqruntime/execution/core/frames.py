"""Events and records as bytes, composed without building and checking a model for each.

What a task sent, a result of megabytes among it, goes out as it came in. A client's name and an
execution's need no escaping: their characters are those of a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqruntime.messages import PROTOCOL_VERSION, encode, encode_json

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle import Execution

__all__ = ["compose_progress_event", "compose_snapshot", "compose_state_event"]


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
    head = (
        f'{{"type":"state","execution_id":"{execution.execution_id}",'
        f'"sequence":{sequence},"timestamp":{timestamp!r},"status":"{execution.status}",'
        f'"submitted_at":{execution.submitted_at!r},'
        f'"started_at":{_number(execution.started_at)},'
        f'"finished_at":{_number(execution.finished_at)},"error":'
    )
    return head.encode() + _error(execution) + b"}"


def compose_snapshot(
    execution: Execution, queue_position: int | None, request_id: str | None
) -> bytes:
    """Return the reply that tells everything of one execution."""
    head = (
        f'{{"type":"snapshot","status":"ok","protocol":{PROTOCOL_VERSION},"execution":{{'
        f'"execution_id":"{execution.execution_id}","client_id":"{execution.client_id}",'
        f'"status":"{execution.status}","attempt":{execution.attempt},'
        f'"submitted_at":{execution.submitted_at!r},'
        f'"started_at":{_number(execution.started_at)},'
        f'"finished_at":{_number(execution.finished_at)},'
        f'"queue_position":{_number(queue_position)},"labels":'
    )
    return b"".join(
        (
            head.encode(),
            encode_json(execution.labels) if execution.labels else b"{}",
            b',"progress":',
            execution.progress or b"null",
            b',"result":',
            execution.result or b"null",
            b',"error":',
            _error(execution),
            b'},"request_id":',
            b"null" if request_id is None else encode_json(request_id),
            b"}",
        )
    )


def _error(execution: Execution) -> bytes:
    return b"null" if execution.error is None else encode(execution.error)


def _number(value: float | None) -> str:
    return "null" if value is None else repr(value)
