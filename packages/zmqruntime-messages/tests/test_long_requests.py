"""Long requests: rejected before they are parsed, or passed on with an unparsed body."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from zmqruntime.messages import (
    MAX_REQUEST_BYTES,
    DecodeError,
    ErrorCode,
    ExecuteHead,
    ExecuteRequest,
    MessageError,
    UnparsedExecute,
    decode_request,
    encode,
)
from zmqruntime.messages.lowlevel import decode_json, find_body_fault, split_request

LONG = 4 * MAX_REQUEST_BYTES
HEAD: dict[str, Any] = {
    "request_id": "#7",
    "type": "execute",
    "client_id": "lab",
    "execution_id": "e1",
    "labels": {"a": "b"},
    "retry_on": ["timeout"],
    "wait_seconds": 5,
}
TASK = {"text": "x" * LONG, "values": [1, {"a": None}]}


def frame_of(**members: Any) -> bytes:
    return json.dumps({**HEAD, "task": TASK, **members}, ensure_ascii=False).encode()


def reject(frame: bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        split_request(frame)
    assert len(str(caught.value)) < 1000
    assert all(len(name) < 100 and len(words) < 300 for name, words in caught.value.faults)
    return caught.value


def split(frame: bytes) -> UnparsedExecute:
    request = split_request(frame)
    assert isinstance(request, UnparsedExecute)
    return request


def raw(*members: bytes) -> bytes:
    return b"{%b}" % b",".join((*(b"%b" % json.dumps(HEAD).encode()[1:-1],), *members))


def test_unparsed_request_has_the_head_and_the_raw_body() -> None:
    config = {"deep": ["y" * 10]}
    frame = frame_of(config=config)
    request = split(frame)
    parsed = decode_request(frame)
    assert isinstance(parsed, ExecuteRequest)
    assert json.loads(bytes(request.task_json)) == parsed.task == TASK
    assert request.config_json is not None
    assert json.loads(bytes(request.config_json)) == parsed.config == config
    head = ExecuteHead.model_fields
    assert {name: getattr(request, name) for name in head} == {
        name: getattr(parsed, name) for name in head
    }


def test_unparsed_body_is_a_view_without_a_copy() -> None:
    frame = frame_of(task={"text": "x" * 8 * 2**20})
    split(frame)  # Warm up: imports are not measured.
    tracemalloc.start()
    request = split(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(request.task_json) > 8 * 2**20
    assert peak < 2**20


def test_long_task_creates_no_objects() -> None:
    frame = raw(b'"task":{"a":[%b]}' % b",".join([b"{}"] * 10**6))
    tracemalloc.start()
    split(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("config", [None, {"a": "y" * LONG}])
def test_unparsed_request_with_another_execution_id_is_re_encoded(
    config: dict[str, Any] | None,
) -> None:
    given = {k: v for k, v in HEAD.items() if k != "execution_id"} | {"task": TASK}
    frame = json.dumps(given | {"config": config}).encode()
    named = split(frame).model_copy(update={"execution_id": "e2"})
    decoded = decode_request(named.to_frame())
    assert decoded == decode_request(
        json.dumps(given | {"config": config, "execution_id": "e2"}).encode()
    )


def test_short_task_in_a_long_frame_is_parsed() -> None:
    task = {"text": "x" * (MAX_REQUEST_BYTES - 200)}
    frame = frame_of(task=task, labels={"a": "y" * 1000})
    assert len(frame) > MAX_REQUEST_BYTES
    assert split_request(frame) == decode_request(frame)
    assert isinstance(split_request(frame), ExecuteRequest)


WORDS = b",".join([b'""'] * LONG)
MANY = b",".join(b'"%d":""' % n for n in range(LONG // 8))


@pytest.mark.parametrize(
    ("member", "field"),
    [
        pytest.param(b'"retry_on":[%b]' % WORDS, "retry_on", id="words"),
        pytest.param(b'"labels":{%b}' % MANY, "labels", id="labels"),
        pytest.param(b'"labels":{"a":"%b"}' % (b"x" * LONG), "labels", id="a label"),
        pytest.param(b'"execution_id":"%b"' % (b"x" * LONG), "execution_id", id="id"),
        pytest.param(b'"priority":%b' % (b"1" * LONG), "priority", id="integer"),
        pytest.param(b'"priority":%b%b' % (b"[" * 900, b"]" * 900 + b" " * LONG), None, id="deep"),
        pytest.param(MANY, "0", id="unknown fields"),
        pytest.param(b'"u":[%b]' % WORDS, "u", id="an unknown field"),
        pytest.param(b'"%b":1' % (b"u" * LONG), "u" * 80, id="a long name"),
        pytest.param(b'"priority":0,' * LONG + b'"priority":0', None, id="repeated"),
        pytest.param(b'"priority":%b0' % (b" " * LONG), None, id="spaces"),
    ],
)
def test_too_long_head_is_rejected_with_its_largest_field(member: bytes, field: str | None) -> None:
    error = reject(raw(b'"task":{}', member))
    assert error.code is ErrorCode.TOO_LARGE
    assert f"{MAX_REQUEST_BYTES:,}" in str(error)
    assert error.request_id == "#7"
    assert [fault.field for fault in error.faults] == ([field] if field else [])


@pytest.mark.parametrize("word", ["ping", "status", "cancel", "shutdown"])
def test_long_request_of_another_type_is_too_large(word: str) -> None:
    frame = b'{"type":"%b","request_id":"r","cursor":"%b"}' % (word.encode(), b"x" * LONG)
    error = reject(frame)
    assert error.code is ErrorCode.TOO_LARGE
    assert str(error).startswith(f"the {word} request has {len(frame):,} bytes")
    assert error.request_id == "r"


@pytest.mark.parametrize(
    ("frame", "code", "words"),
    [
        (b"[%b]" % WORDS, ErrorCode.MALFORMED, "not an object"),
        (raw(b'"task":{"a":[%b' % WORDS), ErrorCode.MALFORMED, "not JSON"),
        (raw(b'"task":{"a":"\\ud800","b":"%b"}' % (b"x" * LONG)), ErrorCode.MALFORMED, "not JSON"),
        (raw(b'"task":{"a":"\\udc00","b":"%b"}' % (b"x" * LONG)), ErrorCode.MALFORMED, "not JSON"),
        (raw(b'"task":{"a":NaN,"b":[%b]}' % WORDS), ErrorCode.MALFORMED, "not JSON"),
        (raw(b'"task":%b' % (b'{"a":' * LONG)), ErrorCode.MALFORMED, "too deep"),
        (raw(b'"task":{"a":"\xff%b"}' % (b"x" * LONG)), ErrorCode.MALFORMED, "UTF-8"),
        (raw(b'"task":{"a":"%b\xc3"}' % (b"x" * LONG)), ErrorCode.MALFORMED, "UTF-8"),
        (b'{"a":"%b"}' % (b"x" * LONG), ErrorCode.INVALID_REQUEST, "type: a string"),
        (b'{"type":7,"a":"%b"}' % (b"x" * LONG), ErrorCode.INVALID_REQUEST, "type: a string"),
        (b'{"type":"%b"}' % (b"x" * LONG), ErrorCode.TOO_LARGE, "shorten type"),
        (
            b'{"type":"no","a":"%b"}' % (b"x" * LONG),
            ErrorCode.UNKNOWN_TYPE,
            "unknown request type 'no'",
        ),
        (
            raw(b'"protocol":2,"u":[%b]' % WORDS),
            ErrorCode.UNSUPPORTED_PROTOCOL,
            "protocol version 2",
        ),
        (raw(b'"task":[%b]' % WORDS), ErrorCode.INVALID_REQUEST, "task: Input should be an object"),
        (raw(b'"task":"%b"' % (b"x" * LONG)), ErrorCode.INVALID_REQUEST, "task: Input should be"),
        (
            raw(b'"task":{},"config":[%b]' % WORDS),
            ErrorCode.INVALID_REQUEST,
            "config: Input should",
        ),
        (raw(b'"config":{"a":[%b]}' % WORDS), ErrorCode.INVALID_REQUEST, "task: Field required"),
        (frame_of(u=1), ErrorCode.INVALID_REQUEST, "u: Extra inputs are not permitted"),
        (
            frame_of(client_id="a b"),
            ErrorCode.INVALID_REQUEST,
            "client_id: has to be 1 to 64 characters, each of A-Z a-z 0-9 . _ -",
        ),
        (frame_of(retry_on=["no"]), ErrorCode.INVALID_REQUEST, "retry_on[0]: Input should be"),
        (frame_of(request_id="r" * 300), ErrorCode.INVALID_REQUEST, "request_id: String should"),
    ],
)
def test_long_frame_is_rejected_with_its_coarsest_error(
    frame: bytes, code: ErrorCode, words: str
) -> None:
    error = reject(frame)
    assert error.code is code
    assert words in str(error)
    with pytest.raises(MessageError) as parsed:
        decode_request(frame)
    assert parsed.value.code is code


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"[" * 300 + b"]" * 300, "recursion limit"),
        (b"1" * 5000, "number out of range"),
    ],
)
@pytest.mark.parametrize("field", ["task", "config"])
def test_unparsable_body_is_reported_with_its_field(field: str, value: bytes, words: str) -> None:
    other = b'"config":null' if field == "task" else b'"task":{}'
    body = b'"%b":{"text":"%b","value":%b}' % (field.encode(), b"x" * LONG, value)
    frame = raw(other, body)
    split(frame)
    fault = find_body_fault(frame)
    assert fault is not None
    assert str(fault).startswith(f"invalid execute request: {field}: cannot be parsed")
    assert words in str(fault)
    with pytest.raises(ValueError, match=words):
        ExecuteRequest.from_trusted_json(frame)


def test_infinite_number_in_a_long_task_is_rejected_when_parsed() -> None:
    frame = raw(b'"task":{"text":"%b","value":1e999}' % (b"x" * LONG))
    assert find_body_fault(frame) is None
    with pytest.raises(ValueError, match=r"JSON cannot carry"):
        ExecuteRequest.from_trusted_json(frame)
    with pytest.raises(DecodeError, match=r"task\.value: is inf"):
        decode_request(frame)


def test_long_request_from_trusted_json_equals_the_decoded_one() -> None:
    frame = frame_of(config={"a": 1})
    assert ExecuteRequest.from_trusted_json(frame) == decode_request(frame)


def short_with(kinds: bytes) -> bytes:
    return b'{"type":"execute","client_id":"c","task":{},"retry_on":[%b]}' % kinds


def test_first_invalid_kind_ends_the_validation_of_retry_on() -> None:
    frame = short_with(b",".join([b'""'] * 20_000))
    assert len(frame) < MAX_REQUEST_BYTES
    with pytest.raises(DecodeError) as caught:
        decode_request(frame)
    assert [fault.field for fault in caught.value.faults] == ["retry_on[0]"]


def test_retry_on_is_bounded() -> None:
    frame = short_with(b",".join([b'"timeout"'] * 33))
    with pytest.raises(DecodeError, match="at most 32 items"):
        decode_request(frame)


def test_labels_together_are_bounded_in_bytes() -> None:
    labels = {str(n): "\u20ac" * 1000 for n in range(32)}
    with pytest.raises(ValueError, match=r"96,?\d{3} bytes of JSON; all labels together"):
        ExecuteRequest(task={}, client_id="lab", labels=labels)
    short = ExecuteRequest(task={}, client_id="lab", labels=dict(list(labels.items())[:20]))
    assert len(encode(short)) < MAX_REQUEST_BYTES
    assert decode_json(encode(short))["labels"] == short.labels


def test_head_of_the_maximum_length_is_accepted() -> None:
    spaces = MAX_REQUEST_BYTES - (len(raw(b'"task":{}')) - 2)
    body = b"{%b}" % (b'"text":"%b"' % (b"x" * LONG))
    head = split(raw(b" " * spaces + b'"task":' + body))
    assert head.client_id == "lab"
    assert reject(raw(b" " * (spaces + 1) + b'"task":' + body)).code is ErrorCode.TOO_LARGE
