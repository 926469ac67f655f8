"""Invalid frames: the coarsest error is reported, with an actionable error reply."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from zmqruntime.messages import (
    PROTOCOL_VERSION,
    DecodeError,
    ErrorCode,
    ErrorDetail,
    ErrorReply,
    ExecuteRequest,
    FieldFault,
    MessageError,
    ProtocolVersionError,
    decode_event,
    decode_events,
    decode_reply,
    decode_request,
    encode,
    make_error_reply,
)
from zmqruntime.messages.lowlevel import decode_json

DECODERS = [
    pytest.param(decode_request, id="request"),
    pytest.param(decode_reply, id="reply"),
    pytest.param(decode_event, id="event"),
]


def error_of(frame: bytes, decode: Any = decode_request) -> MessageError:
    with pytest.raises(MessageError) as caught:
        decode(frame)
    return caught.value


NOT_JSON = [
    pytest.param(b"", id="nothing"),
    pytest.param(b" ", id="a space"),
    pytest.param(b"ping", id="a bare word"),
    pytest.param(b'{"type": "ping"', id="cut off"),
    pytest.param(b'{"type": "ping"} {}', id="two objects"),
    pytest.param(b"{'type': 'ping'}", id="single quotes"),
    pytest.param(b'{"type": "ping",}', id="trailing comma"),
    pytest.param(b'{"type": "ping", "limit": 010}', id="leading zero"),
    pytest.param(b'{"type": "ping", "request_id": "\xff"}', id="not UTF-8"),
    pytest.param('{"type": "ping"}'.encode("utf-16"), id="UTF-16"),
    pytest.param(b'\xef\xbb\xbf{"type": "ping"}', id="byte order mark"),
    pytest.param(b'{"type": "ping", "request_id": "\\ud800"}', id="half a surrogate pair"),
    pytest.param(b'{"type": "ping", "wait_seconds": NaN}', id="NaN in a number"),
    pytest.param(b'{"type": "ping", "limit": Infinity}', id="Infinity in an integer"),
    pytest.param(b'{"type": "ping", "wait_seconds": -Infinity}', id="-Infinity"),
    pytest.param(b'{"type": "execute", "client_id": "c", "task": {"a": NaN}}', id="NaN in a task"),
    pytest.param(b'{"type": "ping", "unknown": NaN}', id="NaN in an unknown field"),
    pytest.param(b'{"type": "ping", "limit": ' + b"9" * 5000 + b"}", id="5000 digits"),
    pytest.param(b'{"type": "ping", "a": ' + b"[" * 100_000, id="100000 open brackets"),
    pytest.param(b'{"a":' * 1000 + b"1" + b"}" * 1000, id="1000 nested objects"),
    pytest.param(b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.", id="a pickle"),
]


@pytest.mark.parametrize("frame", NOT_JSON)
@pytest.mark.parametrize("decode", DECODERS)
def test_frame_that_is_not_json_is_malformed(decode: Any, frame: bytes) -> None:
    error = error_of(frame, decode)
    assert type(error) is DecodeError
    assert error.code is ErrorCode.MALFORMED
    assert "is not JSON" in error.message
    assert error.request_id is None


@pytest.mark.parametrize("frame", [b"[]", b'"ping"', b"1", b"null", b"true", b'[{"type": "ping"}]'])
@pytest.mark.parametrize("decode", DECODERS)
def test_json_that_is_not_an_object_is_malformed(decode: Any, frame: bytes) -> None:
    error = error_of(frame, decode)
    assert error.code is ErrorCode.MALFORMED
    assert "not an object" in error.message


@pytest.mark.parametrize(
    ("decode", "frame"),
    [
        pytest.param(decode_reply, b'{"type": "ok", "newer": NaN}', id="reply"),
        pytest.param(
            decode_event,
            b'{"type": "progress", "execution_id": "e", "sequence": 1, "timestamp": 1,'
            b' "newer": [-Infinity]}',
            id="event",
        ),
    ],
)
def test_nan_in_an_ignored_field_is_malformed(decode: Any, frame: bytes) -> None:
    assert error_of(frame, decode).code is ErrorCode.MALFORMED


def test_strings_may_contain_nan_and_infinity() -> None:
    request = decode_request(b'{"type": "ping", "request_id": "NaN, Infinity and 1e999"}')
    assert request.request_id == "NaN, Infinity and 1e999"
    task = decode_request(b'{"type": "execute", "client_id": "c", "task": {"NaN": "-Infinity"}}')
    assert isinstance(task, ExecuteRequest)
    assert task.task == {"NaN": "-Infinity"}


EXECUTE = '"type": "execute", "client_id": "c"'
RECORD = '"execution_id": "e", "client_id": "c", "status": "complete", "submitted_at": 1'
SNAPSHOT = f'"type": "snapshot", "execution": {{{RECORD}'
PROGRESS = '"type": "progress", "execution_id": "e", "sequence": 1, "timestamp": 1'


@pytest.mark.parametrize(
    ("decode", "frame", "field"),
    [  # Frames without their outer braces.
        (decode_request, '"type": "ping", "wait_seconds": 1e999', "wait_seconds"),
        (decode_request, f'{EXECUTE}, "task": {{"a": [1e999]}}', "task.a[0]"),
        (decode_request, f'{EXECUTE}, "task": {{"a": {"9" * 400}.0}}', "task.a"),
        (decode_request, f'{EXECUTE}, "task": {{}}, "config": {{"b": [0, -1e999]}}', "config.b[1]"),
        (decode_reply, f'{SNAPSHOT}, "result": [[1e999]]}}', "execution.result[0][0]"),
        (decode_event, f'{PROGRESS}, "completed": 1e999', "completed"),
        (decode_event, f'{PROGRESS}, "data": {{"a": 1e999}}', "data.a"),
    ],
    ids=lambda value: value if isinstance(value, str) and '"' not in value else "",
)
def test_number_out_of_range_is_rejected_with_its_path(decode: Any, frame: str, field: str) -> None:
    error = error_of(f"{{{frame}}}".encode(), decode)
    assert error.code is ErrorCode.INVALID_REQUEST
    assert [fault.field for fault in error.faults] == [field]


@pytest.mark.parametrize("number", ["1e308", "-1.5e-400", "9" * 400, "0." + "3" * 400])
def test_long_number_within_range_is_accepted(number: str) -> None:
    request = decode_request(
        f'{{"type":"execute","client_id":"c","task":{{"n":{number}}}}}'.encode()
    )
    assert isinstance(request, ExecuteRequest)
    assert request.task["n"] == json.loads(number)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    "frame", [b"{}", b'{"type": null}', b'{"type": 5}', b'{"type": ["ping"]}', b'{"type": {}}']
)
def test_type_that_is_not_a_string_is_invalid(decode: Any, frame: bytes) -> None:
    error = error_of(frame, decode)
    assert error.code is ErrorCode.INVALID_REQUEST
    assert error.faults == (FieldFault("type", "a string is required"),)


@pytest.mark.parametrize(
    ("decode", "frame", "known"),
    [
        pytest.param(decode_request, b'{"type": "pong"}', "ping, execute, status,", id="request"),
        pytest.param(decode_reply, b'{"type": "ping"}', "pong, accepted, snapshot,", id="reply"),
        pytest.param(decode_event, b'{"type": "ok"}', "progress, state", id="event"),
    ],
)
def test_error_of_an_unknown_type_lists_the_known_ones(
    decode: Any, frame: bytes, known: str
) -> None:
    error = error_of(frame, decode)
    assert error.code is ErrorCode.UNKNOWN_TYPE
    assert repr(json.loads(frame)["type"]) in error.message
    assert known in error.message
    assert [fault.field for fault in error.faults] == ["type"]


@pytest.mark.parametrize("protocol", [0, -1, 2, 10**30])
@pytest.mark.parametrize(
    "rest",
    [
        pytest.param({"type": "ping"}, id="otherwise valid"),
        pytest.param({"type": "ping", "unknown": 1}, id="unknown field"),
        pytest.param({"type": "ping", "limit": "many"}, id="wrong field"),
        pytest.param({"type": "hello"}, id="unknown type"),
        pytest.param({}, id="no type"),
    ],
)
def test_protocol_version_is_checked_before_type_and_fields(
    protocol: int, rest: dict[str, Any]
) -> None:
    frame = json.dumps({**rest, "protocol": protocol, "request_id": "r"}).encode()
    error = error_of(frame)
    assert type(error) is ProtocolVersionError
    assert error.code is ErrorCode.UNSUPPORTED_PROTOCOL
    assert [fault.field for fault in error.faults] == ["protocol"]
    assert f"protocol version {protocol} of the request: use {PROTOCOL_VERSION}" in error.message
    assert error.request_id == "r"


def test_reply_of_another_protocol_version_is_rejected() -> None:
    error = error_of(b'{"type": "ok", "protocol": 2}', decode_reply)
    assert type(error) is ProtocolVersionError


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param('"type": "ping", "protocol": 2', id="other protocol"),
        pytest.param('"limit": 5', id="no type"),
        pytest.param('"type": 5', id="wrong type"),
        pytest.param('"type": "hello"', id="unknown type"),
        pytest.param('"type": "cancel"', id="missing field"),
        pytest.param('"type": "ping", "unknown": 1', id="unknown field"),
        pytest.param('"type": "ping", "limit": "5"', id="wrong field"),
        pytest.param(
            '"type": "execute", "client_id": "c", "task": {"a": 1e999}', id="number too large"
        ),
        pytest.param(
            '"type": "ping", ' + ", ".join(f'"f{i}": 1' for i in range(2000)), id="many faults"
        ),
    ],
)
def test_error_has_the_request_id(rest: str) -> None:
    error = error_of(f'{{"request_id": "r-1", {rest}}}'.encode())
    assert error.request_id == "r-1"
    assert make_error_reply(error).request_id == "r-1"


@pytest.mark.parametrize("request_id", ["5", "null", '["r"]', "true"])
def test_request_id_that_is_not_a_string_is_not_echoed(request_id: str) -> None:
    error = error_of(f'{{"type": "hello", "request_id": {request_id}}}'.encode())
    assert error.request_id is None


@pytest.mark.parametrize(
    ("key", "path"),
    [
        pytest.param("tile-1", "labels.tile-1", id="a plain key"),
        pytest.param("größe", "labels.größe", id="a key with letters of any alphabet"),
        pytest.param("a.b", "labels['a.b']", id="a key with a dot"),
        pytest.param("", "labels['']", id="an empty key"),
        pytest.param("a\nb", r"labels['a\nb']", id="a key with a line break"),
        pytest.param("k" * 81, f"labels['{'k' * 80}...']", id="a long key"),
    ],
)
def test_path_is_readable_for_any_key(key: str, path: str) -> None:
    frame = json.dumps({"type": "execute", "client_id": "c", "task": {}, "labels": {key: 1}})
    *_, fault = error_of(frame.encode()).faults  # The long key is invalid itself.
    assert fault.field == path


def test_error_lists_the_first_twenty_fields_and_counts_all() -> None:
    fields = [f"field_{number}" for number in range(1000)]
    error = error_of(json.dumps({"type": "ping", **dict.fromkeys(fields, 1)}).encode())
    assert [fault.field for fault in error.faults] == fields[:20]
    assert error.message.endswith("; 1000 errors in total")


def test_error_with_more_than_a_thousand_fields_only_counts_them() -> None:
    fields = {f"field_{number}": 1 for number in range(1001)}
    error = error_of(json.dumps({"type": "ping", **fields}).encode())
    assert error.faults == ()
    assert error.message == "invalid ping request: 1001 errors in total"


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(
            json.dumps({"type": "ping", **{str(n): 1 for n in range(50_000)}}), id="many fields"
        ),
        pytest.param(json.dumps({"type": "ping", "k" * 500_000: 1}), id="a long field"),
        pytest.param(json.dumps({"type": "t" * 500_000}), id="a long type"),
        pytest.param(f'{{"type": "ping", "protocol": {"9" * 4000}}}', id="a long protocol"),
        pytest.param(
            '{"type": "execute", "client_id": "c", "task": {"a":'
            + '{"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk":' * 150
            + "1e999"
            + "}" * 152,
            id="a long path",
        ),
        pytest.param(
            json.dumps({"type": "execute", "client_id": "c" * 500_000, "task": {}}),
            id="a long name",
        ),
    ],
)
def test_reply_to_a_large_invalid_frame_is_small(frame: str) -> None:
    reply = encode(make_error_reply(error_of(frame.encode())))
    assert len(reply) < 2000


def test_error_reply_has_code_message_and_details_of_the_error() -> None:
    error = error_of(b'{"type": "cancel", "execution_id": "a b", "request_id": "r", "x": 1}')
    reply = make_error_reply(error)
    assert reply == ErrorReply(
        code=ErrorCode.INVALID_REQUEST,
        message=str(error),
        request_id="r",
        details=tuple(ErrorDetail(field=f.field, message=f.message) for f in error.faults),
    )
    assert [detail.field for detail in reply.details] == ["execution_id", "x"]
    assert decode_reply(encode(reply)) == reply


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_an_error_reply(code: ErrorCode) -> None:
    reply = make_error_reply(MessageError(code, "Because."))
    assert decode_reply(encode(reply)) == ErrorReply(code=code, message="Because.")


@pytest.mark.parametrize("kind", [DecodeError, ProtocolVersionError])
def test_error_survives_pickling(kind: type[MessageError]) -> None:
    error = kind(
        ErrorCode.MALFORMED, "Not so.", faults=(FieldFault("a[0]", "wrong"),), request_id="r"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == copy.message == "Not so."
    assert vars(copy) == vars(error)


def test_decode_json_returns_the_value() -> None:
    assert decode_json(b'{"a": [1, 2.5, null, "x"]}') == {"a": [1, 2.5, None, "x"]}


@pytest.mark.parametrize("frame", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 1000])
def test_decode_json_rejects_what_is_not_json(frame: bytes) -> None:
    assert error_of(frame, decode_json).code is ErrorCode.MALFORMED


@pytest.mark.parametrize(
    ("second", "code", "message"),
    [
        ('{"type": "hello"}', ErrorCode.UNKNOWN_TYPE, "use one of progress, state"),
        ("{}", ErrorCode.INVALID_REQUEST, "type: a string is required"),
        ("5", ErrorCode.MALFORMED, "not an object"),
        ("NaN", ErrorCode.MALFORMED, "not JSON"),
        (f'{{{PROGRESS}, "newer": NaN}}', ErrorCode.MALFORMED, "not JSON"),
        (f'{{{PROGRESS}, "completed": "5"}}', ErrorCode.INVALID_REQUEST, "completed: "),
        (f'{{{PROGRESS}, "completed": 1e999}}', ErrorCode.INVALID_REQUEST, "completed: "),
        (f"{{{PROGRESS}}}, ", ErrorCode.MALFORMED, "not JSON"),
    ],
)
def test_array_is_rejected_with_the_error_of_its_invalid_event(
    second: str, code: ErrorCode, message: str
) -> None:
    error = error_of(f"[{{{PROGRESS}}}, {second}]".encode(), decode_events)
    assert error.code is code
    assert message in error.message


def test_empty_array_of_events_is_rejected() -> None:
    assert "at least 1 item" in error_of(b" []", decode_events).message


@pytest.mark.parametrize("frame", [b"", b" ", b"5", b"{}", b"[", b"[[]]"])
def test_frame_without_events_is_rejected(frame: bytes) -> None:
    error_of(frame, decode_events)
