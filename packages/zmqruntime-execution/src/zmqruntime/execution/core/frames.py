"""Replies on one execution as bytes, composed around what is kept encoded.

What a task returned, megabytes perhaps, goes out as it came in. Names need no escaping: their
characters are those of a name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from zmqruntime.execution.lifecycle import compose_event
from zmqruntime.execution.lifecycle.events import compose_error, compose_number
from zmqruntime.messages import PROTOCOL_VERSION, encode, encode_json

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle import Execution

__all__ = ["Compose", "compose_accepted", "compose_snapshot"]


Compose = Callable[["Execution", int | None, str | None], bytes]
"""Makes the reply on an execution, with its place and the request's id, when it goes out."""


def compose_snapshot(
    execution: Execution, queue_position: int | None, request_id: str | None
) -> bytes:
    """Return the reply that tells everything of one execution."""
    return b'{"type":"snapshot","status":"ok",%b,"execution":%b}' % (
        _head(request_id),
        _record(execution, queue_position),
    )


def compose_accepted(
    execution: Execution,
    queue_position: int | None,
    request_id: str | None,
    *,
    duplicate: bool = False,
    with_record: bool = False,
) -> bytes:
    """Return the reply that tells that an execution is in the server's care."""
    return (
        b'{"type":"accepted","status":"accepted",%b,"execution_id":"%b","queue_position":%b,'
        b'"duplicate":%b,"execution":%b}'
    ) % (
        _head(request_id),
        execution.execution_id.encode(),
        compose_number(queue_position).encode(),
        b"true" if duplicate else b"false",
        _record(execution, queue_position) if with_record else b"null",
    )


def _head(request_id: str | None) -> bytes:
    return b'"protocol":%d,"request_id":%b' % (
        PROTOCOL_VERSION,
        b"null" if request_id is None else encode_json(request_id),
    )


def _record(execution: Execution, queue_position: int | None) -> bytes:
    head = (
        f'{{"execution_id":"{execution.execution_id}","client_id":"{execution.client_id}",'
        f'"status":"{execution.status}","attempt":{execution.attempt},'
        f'"submitted_at":{execution.submitted_at!r},'
        f'"started_at":{compose_number(execution.started_at)},'
        f'"finished_at":{compose_number(execution.finished_at)},'
        f'"queue_position":{compose_number(queue_position)},"labels":'
    )
    progress = execution.progress
    return b'%b%b,"progress":%b,"result":%b,"error":%b,"attempts":%b,"retry_at":%b}' % (
        head.encode(),
        encode_json(execution.labels) if execution.labels else b"{}",
        b"null" if progress is None else compose_event(execution.execution_id, progress),
        execution.result or b"null",
        compose_error(execution.error),
        b"[%b]" % b",".join(map(encode, execution.attempts)) if execution.attempts else b"[]",
        compose_number(execution.retry_at).encode(),
    )
