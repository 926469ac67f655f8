"""Round trips: decoding an encoded message returns an equal message."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from zmqruntime.messages import (
    Event,
    ExecuteRequest,
    Reply,
    Request,
    decode_event,
    decode_reply,
    decode_request,
    encode,
)
from zmqruntime.messages.lowlevel import encode_with_id, prepare

Decode = Callable[[bytes], Any]

EVERY_MESSAGE = [
    pytest.param(model, decode, id=model.__name__)
    for union, decode in ((Request, decode_request), (Reply, decode_reply), (Event, decode_event))
    for model in get_args(get_args(union)[0])
]


def reject(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize(("model", "decode"), EVERY_MESSAGE)
@given(data=st.data())
def test_message_round_trips(model: type[Any], decode: Decode, data: st.DataObject) -> None:
    message = data.draw(st.from_type(model))
    decoded = decode(encode(message))
    assert type(decoded) is model
    assert decoded == message
    assert encode(decoded) == encode(message)  # 1 has not become 1.0.


@pytest.mark.parametrize(("model", "decode"), EVERY_MESSAGE)
@settings(max_examples=30)
@given(data=st.data())
def test_frame_is_a_json_object_for_any_json_reader(
    model: type[Any], decode: Decode, data: st.DataObject
) -> None:
    message = data.draw(st.from_type(model))
    frame = encode(message)
    value = json.loads(frame.decode("utf-8"), parse_constant=reject)
    assert value["type"] == message.type
    assert set(value) == set(model.model_fields)
    assert decode(json.dumps(value).encode()) == message  # From any JSON writer.


@pytest.mark.parametrize(
    ("model", "decode"), [param for param in EVERY_MESSAGE if param.values[1] is not decode_event]
)
@settings(max_examples=30)
@given(data=st.data(), request_id=st.none() | st.text(max_size=20))
def test_message_is_encoded_with_another_request_id(
    model: type[Any], decode: Decode, data: st.DataObject, request_id: str | None
) -> None:
    message = data.draw(st.from_type(model))
    numbered = decode(encode_with_id(message, request_id))
    assert numbered == message.model_copy(update={"request_id": request_id})


@pytest.mark.parametrize("model", get_args(get_args(Request)[0]))
@settings(max_examples=30)
@given(data=st.data(), request_id=st.text(max_size=20))
def test_prepared_request_is_decoded_as_its_request(
    model: type[Any], data: st.DataObject, request_id: str
) -> None:
    request = data.draw(st.from_type(model))
    prepared = prepare(request)
    assert (prepared.type, prepared.request_id) == (request.type, request.request_id)
    assert prepared.execution_id == getattr(request, "execution_id", None)
    sent = decode_request(encode_with_id(prepared, request_id))
    assert sent == request.model_copy(update={"request_id": request_id})


@given(request=st.from_type(ExecuteRequest))
def test_trusted_json_is_read_as_the_validated_request(request: ExecuteRequest) -> None:
    frame = json.loads(encode(request))
    for name, value in frame.items():  # As peers with one number type write them.
        if isinstance(value, float) and value == int(value):
            frame[name] = int(value)
    short = request.model_dump_json(exclude_defaults=True).encode()  # Without the type.
    for written in (encode(request), json.dumps(frame).encode(), short):
        again = ExecuteRequest.from_trusted_json(written)
        assert (type(again), again) == (type(request), request)
        assert encode(again) == encode(request)
        checked = ExecuteRequest.model_validate_json(written)
        assert again.model_fields_set == checked.model_fields_set
        assert repr(again) == repr(checked)  # Distinguishes 1 from 1.0.


def test_requests_from_trusted_json_do_not_share_labels() -> None:
    frame = b'{"type": "execute", "client_id": "lab", "task": {}}'
    ExecuteRequest.from_trusted_json(frame).labels["mine"] = "1"
    assert ExecuteRequest.from_trusted_json(frame).labels == {}


@pytest.mark.parametrize("frame", [b"{}", b'{"task": {}}', b'{"client_id": "lab"}'])
def test_trusted_json_without_task_or_client_is_invalid(frame: bytes) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        ExecuteRequest.from_trusted_json(frame)


def test_text_is_encoded_as_utf_8() -> None:
    request = decode_request('{"type": "ping", "request_id": "Grüße, 世界 🌍"}'.encode())
    assert request.request_id == "Grüße, 世界 🌍"
    assert "Grüße, 世界 🌍".encode() in encode(request)


def test_count_stays_an_integer_or_a_float() -> None:
    common = '"type": "progress", "execution_id": "e", "sequence": 1, "timestamp": 1'
    event = decode_event(f'{{{common}, "completed": 3, "total": 4.0}}'.encode())
    assert encode(event).count(b'"completed":3,"total":4.0,') == 1
