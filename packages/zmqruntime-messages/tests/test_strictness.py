"""Strictness: messages are frozen, values are not coerced, unknown fields of requests rejected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from zmqruntime import messages
from zmqruntime.messages import (
    DecodeError,
    ErrorCode,
    ErrorKind,
    ErrorReply,
    ExecuteRequest,
    ExecutionErrorInfo,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    JsonValue,
    OkReply,
    PingRequest,
    ProgressEvent,
    decode_event,
    decode_reply,
    decode_request,
    encode,
)

MODELS = [
    model
    for model in (getattr(messages, name) for name in vars(messages)["__all__"])
    if isinstance(model, type) and issubclass(model, BaseModel)
]

PING = {"type": "ping"}
EXECUTE = {"type": "execute", "client_id": "c", "task": {}}
STATUS = {"type": "status"}
REGISTER = {"type": "register_progress", "client_id": "c"}
RECORD = {"execution_id": "e", "client_id": "c", "status": "queued", "submitted_at": 1}
SNAPSHOT = {"type": "snapshot", "execution": RECORD}
ACCEPTED = {"type": "accepted", "execution_id": "e"}
PROGRESS = {"type": "progress", "execution_id": "e", "sequence": 1, "timestamp": 1}
PONG = {
    "type": "pong",
    "ready": True,
    "server": "S",
    "version": "1",
    "port": 1,
    "control_port": 2,
    "process": {"pid": 1, "create_time": 1},
    "started_at": 1,
    "uptime_seconds": 1,
    "max_message_bytes": 1,
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@settings(max_examples=3)
@given(data=st.data())
def test_message_is_frozen(model: type[BaseModel], data: st.DataObject) -> None:
    message = data.draw(st.from_type(model))
    for field in model.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(message, field, getattr(message, field))


WRONG_REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    ("bool for an integer", {**PING, "limit": True}, "limit"),
    ("string for an integer", {**PING, "limit": "5"}, "limit"),
    ("fraction for an integer", {**PING, "limit": 5.0}, "limit"),
    ("null for an integer", {**PING, "limit": None}, "limit"),
    ("negative limit", {**PING, "limit": -1}, "limit"),
    ("limit above the maximum", {**PING, "limit": 1001}, "limit"),
    ("true for a protocol", {**PING, "protocol": True}, "protocol"),
    ("false for a protocol", {**PING, "protocol": False}, "protocol"),
    ("string for a protocol", {**PING, "protocol": "1"}, "protocol"),
    ("fraction for a protocol", {**PING, "protocol": 1.0}, "protocol"),
    ("number for a request id", {**PING, "request_id": 5}, "request_id"),
    ("string for a number", {**STATUS, "wait_seconds": "1"}, "wait_seconds"),
    ("bool for a number", {**STATUS, "wait_seconds": True}, "wait_seconds"),
    ("negative wait", {**STATUS, "wait_seconds": -1}, "wait_seconds"),
    ("number for a cursor", {**STATUS, "cursor": 1}, "cursor"),
    ("list for an object", {**EXECUTE, "task": [1]}, "task"),
    ("null for a task", {**EXECUTE, "task": None}, "task"),
    ("string for a config", {**EXECUTE, "config": "{}"}, "config"),
    ("number for a label", {**EXECUTE, "labels": {"a": 1}}, "labels.a"),
    ("too many labels", {**EXECUTE, "labels": {f"{n}": "" for n in range(33)}}, "labels"),
    ("a label's key that is too long", {**EXECUTE, "labels": {"k" * 65: ""}}, f"labels.{'k' * 65}"),
    ("a label that is too long", {**EXECUTE, "labels": {"a": "v" * 1001}}, "labels.a"),
    ("null for labels", {**EXECUTE, "labels": None}, "labels"),
    ("no time at all", {**EXECUTE, "timeout_seconds": 0}, "timeout_seconds"),
    ("number for a name", {**EXECUTE, "client_id": 1}, "client_id"),
    ("unknown scope", {**REGISTER, "scope": "OWN"}, "scope"),
    ("unknown mode", {"type": "shutdown", "mode": "later"}, "mode"),
]
WRONG_REPLIES: list[tuple[str, dict[str, Any], str]] = [
    ("integer for a bool", {**PONG, "ready": 1}, "ready"),
    ("string for a bool", {**PONG, "ready": "yes"}, "ready"),
    ("pid 0", {**PONG, "process": {"pid": 0, "create_time": 1}}, "process.pid"),
    ("bool for a time", {**PONG, "started_at": True}, "started_at"),
    ("time before 1970", {**PONG, "started_at": -1}, "started_at"),
    ("string for a list", {**PONG, "workers": "none"}, "workers"),
    ("bad element", {**PONG, "workers": [{"pid": 1}, {"pid": "1"}]}, "workers[1].pid"),
    ("bad name", {**PONG, "progress_subscribers": ["a", "b/"]}, "progress_subscribers[1]"),
    ("another reply's status", {"type": "ok", "status": "error"}, "status"),
    ("queue position 0", {**ACCEPTED, "queue_position": 0}, "queue_position"),
    ("unknown execution status", {**SNAPSHOT, "counts": {"lost": 1}}, "counts.lost"),
    ("attempt 0", {**SNAPSHOT, "execution": {**RECORD, "attempt": 0}}, "execution.attempt"),
]
WRONG_EVENTS: list[tuple[str, dict[str, Any], str]] = [
    ("sequence 0", {**PROGRESS, "sequence": 0}, "sequence"),
    ("string for a count", {**PROGRESS, "completed": "3"}, "completed"),
    ("bool for a count", {**PROGRESS, "completed": True}, "completed"),
    ("list for data", {**PROGRESS, "data": []}, "data"),
]
WRONG = [
    pytest.param(decode, value, field, id=name)
    for decode, rows in (
        (decode_request, WRONG_REQUESTS),
        (decode_reply, WRONG_REPLIES),
        (decode_event, WRONG_EVENTS),
    )
    for name, value, field in rows
]


@pytest.mark.parametrize(("decode", "value", "field"), WRONG)
def test_invalid_value_is_rejected_with_its_field(
    decode: Any, value: dict[str, Any], field: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(json.dumps(value).encode())
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert [fault.field for fault in caught.value.faults] == [field]
    assert f"{field}: " in str(caught.value)


def test_all_invalid_fields_are_in_one_error() -> None:
    value = {**EXECUTE, "task": 1, "labels": {"a": 1, "b": []}, "extra": 1}
    with pytest.raises(DecodeError) as caught:
        decode_request(json.dumps(value).encode())
    fields = [fault.field for fault in caught.value.faults]
    assert sorted(fields) == ["extra", "labels.a", "labels.b", "task"]
    assert str(caught.value).startswith("invalid execute request: ")


@pytest.mark.parametrize(
    "value",
    [
        PING,
        EXECUTE,
        STATUS,
        REGISTER,
        {"type": "cancel", "execution_id": "e"},
        {"type": "unregister_progress", "client_id": "c"},
        {"type": "shutdown"},
    ],
    ids=lambda value: value["type"],
)
def test_unknown_field_of_a_request_is_rejected_with_its_name(value: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_request(json.dumps({**value, "exekution_id": "e"}).encode())
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert [fault.field for fault in caught.value.faults] == ["exekution_id"]


@pytest.mark.parametrize(
    ("decode", "value"),
    [
        pytest.param(decode_reply, PONG, id="pong"),
        pytest.param(decode_reply, {"type": "ok"}, id="ok"),
        pytest.param(decode_reply, SNAPSHOT, id="snapshot"),
        pytest.param(decode_event, PROGRESS, id="progress"),
    ],
)
def test_unknown_field_of_a_reply_or_an_event_is_ignored(
    decode: Any, value: dict[str, Any]
) -> None:
    newer = {**value, "from_the_future": {"any": ["thing", 1e300]}}
    assert decode(json.dumps(newer).encode()) == decode(json.dumps(value).encode())


def test_unknown_field_inside_a_reply_is_ignored() -> None:
    newer = {**SNAPSHOT, "execution": {**RECORD, "from_the_future": 1}}
    assert decode_reply(json.dumps(newer).encode()) == decode_reply(json.dumps(SNAPSHOT).encode())


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: PingRequest(limit=True), id="bool for int"),
        pytest.param(lambda: PingRequest(limit="5"), id="string for int"),  # type: ignore[arg-type]
        pytest.param(lambda: PingRequest(wait_seconds="1"), id="string for float"),  # type: ignore[arg-type]
        pytest.param(lambda: PingRequest(wait_seconds=float("nan")), id="nan"),
        pytest.param(lambda: PingRequest(request_id=b"r"), id="bytes for str"),  # type: ignore[arg-type]
        pytest.param(lambda: PingRequest(unknown=1), id="unknown field"),  # type: ignore[call-arg]
        pytest.param(lambda: OkReply(progress_subscribers=["a"]), id="list for tuple"),  # type: ignore[arg-type]
        pytest.param(lambda: OkReply(execution_status="failed"), id="string for enum"),  # type: ignore[arg-type]
    ],
)
def test_constructor_is_as_strict_as_the_decoder(make: Any) -> None:
    with pytest.raises(ValidationError):
        make()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        pytest.param({"a": [(1,)]}, "is of type tuple", id="tuple"),
        pytest.param({1: "a"}, "has a key of type int", id="integer key"),
        pytest.param({"a": float("inf")}, "is inf", id="infinity"),
        pytest.param({"a": 10**5000}, "is an integer of more than 4000 digits", id="long integer"),
    ],
)
def test_task_that_is_not_json_is_rejected_by_the_constructor(task: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ExecuteRequest(client_id="c", task=task)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda text: PingRequest(request_id=text), id="text"),
        pytest.param(lambda text: ExecuteRequest(client_id="c", task={"a": text}), id="task"),
        pytest.param(
            lambda text: ExecuteRequest(client_id="c", task={}, labels={text: ""}), id="label"
        ),
        pytest.param(
            lambda text: ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message=text), id="error"
        ),
        pytest.param(
            lambda text: ProgressEvent(execution_id="e", sequence=1, timestamp=1, phase=text),
            id="progress",
        ),
    ],
)
def test_lone_surrogate_is_rejected_before_encoding(make: Any) -> None:
    file_name = b"caf\xe9.txt".decode("utf-8", "surrogateescape")  # As os.listdir returns it.
    with pytest.raises(ValidationError):
        make(file_name)
    encode(make(file_name.encode("utf-8", "replace").decode()))  # The workaround of a caller.


@pytest.mark.parametrize("result", [None, False, 0, 1.5, "text", [1, [2]], {"a": {"b": None}}])
def test_record_has_any_json_value_as_its_result(result: JsonValue) -> None:
    record = ExecutionRecord(
        execution_id="e",
        client_id="c",
        status=ExecutionStatus.COMPLETE,
        submitted_at=1,
        result=result,
    )
    assert record.result == result


def test_unknown_code_or_kind_of_a_newer_server_is_decoded_as_its_fallback() -> None:
    reply = decode_reply(b'{"type":"error","code":"new","message":"m"}')
    assert isinstance(reply, ErrorReply)
    assert reply.code is ErrorCode.INTERNAL
    error = {"kind": "new", "message": "m"}
    snapshot = decode_reply(
        json.dumps({**SNAPSHOT, "execution": {**RECORD, "error": error}}).encode()
    )
    assert isinstance(snapshot, ExecutionStatusSnapshot)
    assert snapshot.execution is not None
    assert snapshot.execution.error == ExecutionErrorInfo(kind=ErrorKind.EXCEPTION, message="m")
    with pytest.raises(ValidationError, match="code"):
        ErrorReply(code="new", message="m")  # type: ignore[arg-type]
