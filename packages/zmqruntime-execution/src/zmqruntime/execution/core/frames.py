"""Replies on one execution as bytes, composed around what is kept encoded.

What a task returned, megabytes perhaps, goes out as it came in. Names need no escaping: their
characters are those of a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pydantic_core import to_json

from zmqruntime.execution.lifecycle.events import compose_error, compose_event, compose_number
from zmqruntime.messages import PROTOCOL_VERSION, encode
from zmqruntime.messages.lowlevel import encode_json

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.events import ExecutionEvent
    from zmqruntime.execution.lifecycle.execution import Execution

__all__ = [
    "Compose",
    "NameLog",
    "compose_accepted",
    "compose_kept_events",
    "compose_records",
    "compose_snapshot",
]

_HEAD: Final = b'"protocol":%d,"request_id":%%b' % PROTOCOL_VERSION

_MAX_LISTED_BYTES: Final = 64 * 1024
"""Of the events or the further records in one reply: others wait while it is made, and it has to
fit into a message."""


Compose = Callable[["Execution", int | None, str | None], bytes]
"""Makes the reply on an execution, with its place and the request's id, when it goes out."""

NameLog = Callable[[str], str | None]
"""Tells where an execution's output goes, if anywhere."""


def _no_log(_: str) -> None:
    """Stand for a server that keeps no output."""


def compose_snapshot(
    execution: Execution,
    queue_position: int | None,
    request_id: str | None,
    *,
    also: Sequence[bytes] = (),
    name_log: NameLog = _no_log,
) -> bytes:
    """Return the reply that tells everything of one execution.

    ``also``: records of others that have ended, by `compose_records`.
    """
    composed = b'{"type":"snapshot","status":"ok",%b,"execution":%b' % (
        _head(request_id),
        _record(execution, queue_position, name_log),
    )
    if also:
        return b'%b,"also":[%b]}' % (composed, b",".join(also))
    return composed + b"}"


def compose_accepted(
    execution: Execution,
    queue_position: int | None,
    request_id: str | None,
    *,
    duplicate: bool = False,
    with_record: bool = False,
    name_log: NameLog = _no_log,
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
        _record(execution, queue_position, name_log) if with_record else b"null",
    )


def compose_kept_events(
    execution: Execution,
    events: Sequence[ExecutionEvent],
    first_kept_sequence: int | None,
    request_id: str | None,
) -> bytes:
    """Return the reply with as many of these events as fit into it, and one at least."""
    composed: list[bytes] = []
    room = _MAX_LISTED_BYTES
    for event in events:
        frame = compose_event(execution.execution_id, event)
        room -= len(frame)
        if room < 0 and composed:
            break
        composed.append(frame)
    return (
        b'{"type":"kept_events","status":"ok",%b,"execution_id":"%b","events":[%b],'
        b'"first_kept_sequence":%b,"last_sequence":%d}'
    ) % (
        _head(request_id),
        execution.execution_id.encode(),
        b",".join(composed),
        compose_number(first_kept_sequence).encode(),
        execution.sequence,
    )


def _head(request_id: str | None) -> bytes:
    return _HEAD % to_json(request_id)


def compose_records(executions: Iterable[Execution], name_log: NameLog) -> Iterator[bytes]:
    """Yield the records of those that have ended, as many as may be in one reply."""
    room = _MAX_LISTED_BYTES
    for execution in executions:
        if len(execution.result or b"") > room:
            return
        record = _record(execution, None, name_log)
        room -= len(record)
        if room < 0:
            return
        yield record


def _record(execution: Execution, queue_position: int | None, name_log: NameLog) -> bytes:
    labels, progress, attempts = execution.labels, execution.progress, execution.attempts
    has_log = execution.started_at is not None and not execution.result_dropped
    log = name_log(execution.execution_id) if has_log else None
    head = (
        f'{{"execution_id":"{execution.execution_id}","client_id":"{execution.client_id}",'
        f'"status":"{execution.status}","attempt":{execution.attempt},'
        f'"submitted_at":{execution.submitted_at!r},'
        f'"started_at":{compose_number(execution.started_at)},'
        f'"finished_at":{compose_number(execution.finished_at)},'
        f'"queue_position":{compose_number(queue_position)},'
        f'"retry_at":{compose_number(execution.retry_at)},"labels":'
    )
    return b'%b%b,"progress":%b,"result":%b,"error":%b,"attempts":%b,"log_file_path":%b%b}' % (
        head.encode(),
        encode_json(labels) if labels else b"{}",
        b"null" if progress is None else compose_event(execution.execution_id, progress),
        execution.result or b"null",
        compose_error(execution.error),
        b"[%b]" % b",".join(map(encode, attempts)) if attempts else b"[]",
        b"null" if log is None else to_json(log),
        b',"result_dropped":true' if execution.result_dropped else b"",
    )
