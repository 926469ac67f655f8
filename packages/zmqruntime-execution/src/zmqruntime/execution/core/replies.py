"""Replies about executions: records and events composed as bytes, and error replies.

A result, megabytes perhaps, is sent as it was received, without decoding it. Ids need no escaping:
their characters are restricted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pydantic_core import to_json

from zmqruntime.execution.lifecycle.events import compose_error, compose_event, compose_number
from zmqruntime.messages import PROTOCOL_VERSION, ErrorCode, ErrorReply, encode
from zmqruntime.messages.lowlevel import encode_json

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.engine import LifecycleEngine
    from zmqruntime.execution.lifecycle.events import ExecutionEvent
    from zmqruntime.execution.lifecycle.execution import Execution
    from zmqruntime.messages import ExecutionStatusSnapshot, StatusRequest

__all__ = [
    "Compose",
    "NameLog",
    "already_ended",
    "build_queue_snapshot",
    "compose_accepted",
    "compose_kept_events",
    "compose_records",
    "compose_snapshot",
    "conflict",
    "evicted_while_waiting",
    "journal_unavailable",
    "queue_bytes_exceeded",
    "queue_full",
    "shutting_down",
    "too_many_held",
    "unknown_execution",
]

_HEAD: Final = b'"protocol":%d,"request_id":%%b' % PROTOCOL_VERSION

_MAX_LISTED_BYTES: Final = 64 * 1024
"""Of the events, or of the further records, in one reply: the loop is blocked while it is composed,
and it has to fit into a message."""


Compose = Callable[["Execution", int | None, str | None], bytes]
"""Composes a reply from an execution, its queue position and the request id."""

NameLog = Callable[[str], str | None]
"""Returns the log file of an execution; None where output is not captured."""


def _no_log(_: str) -> None:
    """Return the log file on a server that captures no output."""


# -- records and events ---------------------------------------------------------------------------


def compose_snapshot(
    execution: Execution,
    queue_position: int | None,
    request_id: str | None,
    *,
    also: Sequence[bytes] = (),
    name_log: NameLog = _no_log,
) -> bytes:
    """Return a ``snapshot`` reply with the record of one execution.

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
    """Return an ``accepted`` reply."""
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
    """Return a ``kept_events`` reply with as many of these events as fit, at least one."""
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
    """Yield the records of ended executions, as many as fit into one reply."""
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


def build_queue_snapshot(
    engine: LifecycleEngine, request: StatusRequest
) -> ExecutionStatusSnapshot | ErrorReply:
    """Return the running executions and one page of the queue."""
    from zmqruntime.messages import ExecutionStatusSnapshot  # Keeps it out of the server's start.

    try:
        entries, cursor = engine.list_queued(request.limit, request.cursor)
    except ValueError as error:
        return ErrorReply(code=ErrorCode.INVALID_REQUEST, message=f"cursor: {error}")
    return ExecutionStatusSnapshot(
        running_executions=tuple(e.to_running_info() for e in engine.list_running()),
        queued_executions=tuple(e.to_queued_info(place) for place, e in entries),
        counts=dict(engine.counts),
        cursor=cursor,
    )


# -- error replies --------------------------------------------------------------------------------


def conflict(execution: Execution) -> ErrorReply:
    """Reject a known id with different content."""
    return ErrorReply(
        code=ErrorCode.CONFLICT,
        message=f"execution id {execution.execution_id} already belongs to another task: "
        "choose a new id for new work",
    )


def already_ended(execution: Execution) -> ErrorReply:
    """Reject the cancel of an execution that is complete or failed."""
    return ErrorReply(
        code=ErrorCode.CONFLICT,
        message=f"execution {execution.execution_id} has ended already ({execution.status}): "
        "there is nothing to cancel",
    )


def unknown_execution(execution_id: str) -> ErrorReply:
    """Reject an id that is not kept."""
    return ErrorReply(
        code=ErrorCode.UNKNOWN_EXECUTION,
        message=f"no execution {execution_id} is kept here: it was never submitted to this "
        "server, or has ended and was dropped from its history: submit it again, and keep records "
        "longer by a higher history_limit, history_bytes or history_seconds, or by a journal",
    )


def shutting_down() -> ErrorReply:
    """Reject new work because the server is ending."""
    return ErrorReply(
        code=ErrorCode.SHUTTING_DOWN, message="the server is shutting down and accepts no more work"
    )


def queue_full(waiting: int, limit: int) -> ErrorReply:
    """Reject new work because too many executions are queued."""
    return ErrorReply(
        code=ErrorCode.QUEUE_FULL,
        message=f"{waiting} executions are queued and the server accepts no more than {limit} "
        "(max_queued): try again when some have ended",
    )


def queue_bytes_exceeded(queued: int, size: int, limit: int) -> ErrorReply:
    """Reject new work because the queued requests are too long together."""
    return ErrorReply(
        code=ErrorCode.QUEUE_FULL,
        message=f"the queued requests have {queued:,} bytes, this one has {size:,}, and the server "
        f"keeps no more than {limit:,} (max_queued_bytes): try again when some have ended",
    )


def too_many_held() -> ErrorReply:
    """Reject one more long poll."""
    return ErrorReply(
        code=ErrorCode.BUSY,
        message="too many held replies for this connection; the request had no effect: wait for "
        "fewer executions at a time, or send the request without wait_seconds",
    )


def evicted_while_waiting(execution_id: str) -> ErrorReply:
    """Replace a record that left history before there was room to send it."""
    return ErrorReply(
        code=ErrorCode.BUSY,
        message=f"execution {execution_id} left history while the reply waited for earlier ones "
        "to be read: send the request again, and read replies sooner",
    )


def journal_unavailable() -> ErrorReply:
    """Reject new work because it could not be committed."""
    return ErrorReply(
        code=ErrorCode.JOURNAL_UNAVAILABLE,
        message="nothing was accepted, since the server's journal cannot be written, and its log "
        "has the reason: free some space or mend the disk, and try again",
    )
