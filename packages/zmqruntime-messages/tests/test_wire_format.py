"""The wire format by the protocol page: types, fields, defaults. A change breaks other peers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from zmqruntime import messages
from zmqruntime.messages import (
    AcceptedReply,
    ApplicationInfo,
    AttemptInfo,
    CancelRequest,
    ErrorCode,
    ErrorDetail,
    ErrorKind,
    ErrorReply,
    EventsRequest,
    ExecuteRequest,
    ExecutionErrorInfo,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    KeptEventsReply,
    LogReply,
    LogTailRequest,
    MessageError,
    OkReply,
    PingRequest,
    PongReply,
    ProcessInfo,
    ProgressEvent,
    ProgressScope,
    QueuedExecutionInfo,
    RegisterProgressRequest,
    RunningExecutionInfo,
    ShutdownAckReply,
    ShutdownMode,
    ShutdownRequest,
    StateEvent,
    StatusRequest,
    UnregisterProgressRequest,
    WorkerInfo,
    decode_event,
    decode_reply,
    decode_request,
)

DECODE: dict[str, Any] = {
    "request": decode_request,
    "reply": decode_reply,
    "event": decode_event,
}

PROCESS = {"pid": 7, "create_time": 1.5}
PONG = {
    "ready": True,
    "server": "Stitcher",
    "version": "0.1.0",
    "port": 7777,
    "control_port": 8777,
    "process": PROCESS,
    "started_at": 2.5,
    "uptime_seconds": 3.5,
    "max_message_bytes": 1024,
}
RECORD = {"execution_id": "e", "client_id": "c", "status": "queued", "submitted_at": 1.5}
PROGRESS = {"execution_id": "e", "sequence": 1, "timestamp": 1.5}
STATE = {**PROGRESS, "status": "running", "submitted_at": 1.0}

# Minimal messages with their meaning.
MINIMAL: list[tuple[str, dict[str, Any], BaseModel]] = [
    (
        "request",
        {"type": "ping"},
        PingRequest(protocol=1, request_id=None, limit=100, wait_seconds=0.0),
    ),
    (
        "request",
        {"type": "execute", "client_id": "c", "task": {}},
        ExecuteRequest(
            protocol=1,
            request_id=None,
            task={},
            config=None,
            client_id="c",
            execution_id=None,
            labels={},
            timeout_seconds=None,
            wait_seconds=0.0,
        ),
    ),
    (
        "request",
        {"type": "status"},
        StatusRequest(
            protocol=1,
            request_id=None,
            execution_id=None,
            wait_seconds=0.0,
            limit=100,
            cursor=None,
        ),
    ),
    (
        "request",
        {"type": "cancel", "execution_id": "e"},
        CancelRequest(protocol=1, request_id=None, execution_id="e"),
    ),
    (
        "request",
        {"type": "register_progress", "client_id": "c"},
        RegisterProgressRequest(
            protocol=1, request_id=None, client_id="c", scope=ProgressScope.OWN
        ),
    ),
    (
        "request",
        {"type": "unregister_progress", "client_id": "c"},
        UnregisterProgressRequest(protocol=1, request_id=None, client_id="c"),
    ),
    (
        "request",
        {"type": "shutdown"},
        ShutdownRequest(protocol=1, request_id=None, mode=ShutdownMode.DRAIN),
    ),
    (
        "reply",
        {"type": "pong", **PONG},
        PongReply(
            protocol=1,
            request_id=None,
            status="ok",
            ready=True,
            server="Stitcher",
            version="0.1.0",
            port=7777,
            control_port=8777,
            process=ProcessInfo(pid=7, create_time=1.5),
            started_at=2.5,
            uptime_seconds=3.5,
            running_executions=(),
            queued_executions=(),
            running_count=0,
            queued_count=0,
            workers=(),
            progress_subscribers=(),
            progress_subscriber_count=0,
            worker_error=None,
            max_message_bytes=1024,
            log_file_path=None,
            details={},
        ),
    ),
    (
        "reply",
        {"type": "accepted", "execution_id": "e"},
        AcceptedReply(
            protocol=1,
            request_id=None,
            status="accepted",
            execution_id="e",
            queue_position=None,
            duplicate=False,
        ),
    ),
    (
        "reply",
        {"type": "snapshot"},
        ExecutionStatusSnapshot(
            protocol=1,
            request_id=None,
            status="ok",
            execution=None,
            running_executions=(),
            queued_executions=(),
            counts={},
            cursor=None,
        ),
    ),
    (
        "reply",
        {"type": "ok"},
        OkReply(
            protocol=1,
            request_id=None,
            status="ok",
            client_id=None,
            progress_subscribers=None,
            progress_subscriber_count=None,
            execution_id=None,
            execution_status=None,
        ),
    ),
    (
        "reply",
        {"type": "shutdown_ack", "mode": "now"},
        ShutdownAckReply(protocol=1, request_id=None, status="ok", mode=ShutdownMode.NOW),
    ),
    (
        "reply",
        {"type": "error", "code": "conflict", "message": "taken"},
        ErrorReply(
            protocol=1,
            request_id=None,
            status="error",
            code=ErrorCode.CONFLICT,
            message="taken",
            details=(),
        ),
    ),
    (
        "event",
        {"type": "progress", **PROGRESS},
        ProgressEvent(
            execution_id="e",
            sequence=1,
            timestamp=1.5,
            phase=None,
            completed=None,
            total=None,
            percent=None,
            message=None,
            data=None,
        ),
    ),
    (
        "event",
        {"type": "state", **STATE},
        StateEvent(
            execution_id="e",
            sequence=1,
            timestamp=1.5,
            status=ExecutionStatus.RUNNING,
            submitted_at=1.0,
            started_at=None,
            finished_at=None,
            error=None,
        ),
    ),
]


def frame_of(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("kind", "value", "meaning"), [pytest.param(*row, id=row[1]["type"]) for row in MINIMAL]
)
def test_minimal_message_has_the_defaults(
    kind: str, value: dict[str, Any], meaning: BaseModel
) -> None:
    decoded = DECODE[kind](frame_of(value))
    assert type(decoded) is type(meaning)
    assert decoded == meaning


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [
        pytest.param(kind, value, field, id=f"{value['type']}-{field}")
        for kind, value, _ in MINIMAL
        for field in value
        if field != "type"
    ],
)
def test_missing_required_field_is_reported_with_its_name(
    kind: str, value: dict[str, Any], field: str
) -> None:
    rest = {name: item for name, item in value.items() if name != field}
    with pytest.raises(MessageError) as caught:
        DECODE[kind](frame_of(rest))
    assert [fault.field for fault in caught.value.faults] == [field]
    assert f"{field}: Field required" in str(caught.value)


REPLY = {"type", "status", "protocol", "request_id"}
REQUEST = {"type", "protocol", "request_id"}
EVENT = {"type", "execution_id", "sequence", "timestamp"}
FIELDS: dict[type[BaseModel], set[str]] = {
    PingRequest: REQUEST | {"limit", "wait_seconds"},
    ExecuteRequest: REQUEST
    | {"task", "config", "execution_id", "client_id", "labels", "timeout_seconds", "wait_seconds"}
    | {"priority", "max_attempts", "retry_on", "backoff_seconds"},
    StatusRequest: REQUEST | {"execution_id", "wait_seconds", "limit", "cursor", "also"},
    CancelRequest: REQUEST | {"execution_id"},
    EventsRequest: REQUEST | {"execution_id", "after_sequence", "limit"},
    LogTailRequest: REQUEST | {"execution_id", "max_bytes"},
    RegisterProgressRequest: REQUEST | {"client_id", "scope"},
    UnregisterProgressRequest: REQUEST | {"client_id"},
    ShutdownRequest: REQUEST | {"mode"},
    PongReply: REPLY
    | {"ready", "server", "version", "port", "control_port", "process", "started_at"}
    | {"uptime_seconds", "running_executions", "queued_executions", "running_count"}
    | {"queued_count", "workers", "worker_error"}
    | {"progress_subscribers", "progress_subscriber_count"}
    | {"max_message_bytes"}
    | {"log_file_path", "durable", "details", "application"},
    AcceptedReply: REPLY | {"execution_id", "queue_position", "duplicate", "execution"},
    ExecutionStatusSnapshot: REPLY
    | {"execution", "running_executions", "queued_executions", "counts", "cursor", "also"},
    OkReply: REPLY
    | {"client_id", "progress_subscribers", "progress_subscriber_count"}
    | {"execution_id", "execution_status"},
    KeptEventsReply: REPLY | {"execution_id", "events", "first_kept_sequence", "last_sequence"},
    LogReply: REPLY | {"execution_id", "text", "size_bytes"},
    ShutdownAckReply: REPLY | {"mode"},
    ErrorReply: REPLY | {"code", "message", "details"},
    ErrorDetail: {"field", "message"},
    ProgressEvent: EVENT | {"phase", "completed", "total", "percent", "message", "data"},
    StateEvent: EVENT | {"status", "submitted_at", "started_at", "finished_at", "error"},
    ExecutionRecord: {"execution_id", "client_id", "status", "labels", "attempt", "submitted_at"}
    | {"started_at", "finished_at", "queue_position", "progress", "result", "error"}
    | {"attempts", "retry_at", "log_file_path", "result_dropped"},
    AttemptInfo: {"attempt", "started_at", "finished_at", "error"},
    ExecutionErrorInfo: {
        *("kind", "type", "message", "traceback", "exit_code", "signal", "result_repr"),
    },
    QueuedExecutionInfo: {"execution_id", "client_id", "queue_position", "submitted_at", "labels"},
    RunningExecutionInfo: {"execution_id", "client_id", "submitted_at", "started_at", "attempt"}
    | {"cancel_requested", "labels", "progress"},
    ProcessInfo: {"pid", "create_time"},
    ApplicationInfo: {
        *("class_path", "version", "code_digest", "arguments_digest", "origin_digest"),
    },
    WorkerInfo: {"pid", "cpu_percent", "memory_bytes", "execution_id"},
}


@pytest.mark.parametrize("model", FIELDS, ids=lambda model: model.__name__)
def test_fields_are_those_of_the_protocol_page(model: type[BaseModel]) -> None:
    assert set(model.model_fields) == FIELDS[model]


def test_table_of_fields_has_every_public_model() -> None:
    public = (getattr(messages, name) for name in vars(messages)["__all__"])
    models = {m for m in public if isinstance(m, type) and issubclass(m, BaseModel)}
    parts = {messages.ExecuteHead, messages.UnparsedExecute}  # Not messages.
    assert models - parts == set(FIELDS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(ExecutionStatus, "queued running complete failed cancelled", id="status"),
        pytest.param(ProgressScope, "own all", id="scope"),
        pytest.param(ShutdownMode, "drain now", id="mode"),
        pytest.param(
            ErrorKind,
            "exception timeout worker_died interrupted unserializable_result result_too_large",
            id="error kind",
        ),
        pytest.param(
            ErrorCode,
            "malformed invalid_request unknown_type unsupported_protocol unknown_execution"
            " conflict queue_full not_subscribed shutting_down too_large busy"
            " journal_unavailable internal",
            id="error code",
        ),
    ],
)
def test_enums_are_those_of_the_protocol_page(words: Any, expected: str) -> None:
    assert " ".join(words) == expected


def test_limits_are_those_of_the_protocol_page() -> None:
    assert messages.PROTOCOL_VERSION == 1
    assert messages.MAX_WAIT_SECONDS == 60
    assert decode_request(b'{"type": "status", "wait_seconds": 60}').type == "status"
    with pytest.raises(MessageError, match="wait_seconds: Input should be less than or equal"):
        decode_request(b'{"type": "status", "wait_seconds": 60.001}')


def test_terminal_statuses_are_complete_failed_and_cancelled() -> None:
    terminal = [status.value for status in ExecutionStatus if status.is_terminal]
    assert terminal == ["complete", "failed", "cancelled"]
