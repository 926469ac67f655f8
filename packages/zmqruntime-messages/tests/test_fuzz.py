"""Fuzzing: decoding any bytes returns a message or raises a `MessageError`."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.messages import (
    Event,
    MessageError,
    Reply,
    Request,
    decode_event,
    decode_reply,
    decode_request,
    encode,
    make_error_reply,
)

UNIONS = [
    pytest.param(get_args(get_args(union)[0]), decode, id=name)
    for name, union, decode in (
        ("request", Request, decode_request),
        ("reply", Reply, decode_reply),
        ("event", Event, decode_event),
    )
]

# Unexpected JSON values.
unexpected = st.one_of(
    st.sampled_from(["true", "null", '""', "-1", "0.5", "1e999", "NaN", "-Infinity", "[]", "{}"]),
    st.sampled_from(["9" * 400, "9" * 5000, "[" * 300, '"\\ud800"', "[" * 195 + "]" * 195]),
    st.text().map(json.dumps),
    st.integers().map(str),
)
keys = st.sampled_from(["type", "protocol", "request_id", "task", "status", "x"]) | st.text()


def round_trip(decode: Any, frame: bytes) -> None:
    """Decode ``frame``; round-trip the message, or the reply to the error."""
    try:
        message = decode(frame)
    except MessageError as error:
        decode, message = decode_reply, make_error_reply(error)
    assert decode(encode(message)) == message


@pytest.mark.parametrize(("models", "decode"), UNIONS)
@given(frame=st.binary())
def test_any_bytes_are_decoded_or_rejected(models: Any, decode: Any, frame: bytes) -> None:
    round_trip(decode, frame)


@pytest.mark.parametrize(("models", "decode"), UNIONS)
@given(data=st.data())
def test_frame_with_a_removed_or_inserted_piece_is_decoded_or_rejected(
    models: tuple[type[Any], ...], decode: Any, data: st.DataObject
) -> None:
    frame = encode(data.draw(st.sampled_from(models).flatmap(st.from_type)))
    start = data.draw(st.integers(0, len(frame)))
    end = data.draw(st.integers(start, len(frame)))
    piece = data.draw(st.binary(max_size=5) | unexpected.map(str.encode))
    round_trip(decode, frame[:start] + piece + frame[end:])


@pytest.mark.parametrize(("models", "decode"), UNIONS)
@given(data=st.data())
def test_object_with_changed_missing_added_or_repeated_members_is_decoded_or_rejected(
    models: tuple[type[Any], ...], decode: Any, data: st.DataObject
) -> None:
    message = data.draw(st.sampled_from(models).flatmap(st.from_type))
    fields = [(key, json.dumps(value)) for key, value in json.loads(encode(message)).items()]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(fields) - 1))
        key = data.draw(st.just(fields[at][0]) | keys)
        added = [(key, data.draw(unexpected))] if data.draw(st.booleans()) else []
        fields[at : at + data.draw(st.integers(0, 1))] = added
    frame = ",".join(f"{json.dumps(key)}:{value}" for key, value in fields)
    round_trip(decode, f"{{{frame}}}".encode())


@given(
    rest=st.dictionaries(keys, st.none() | st.integers() | st.text(), max_size=4),
    request_id=st.text(),
)
def test_request_id_is_preserved_in_any_error(rest: dict[str, Any], request_id: str) -> None:
    frame = json.dumps({**rest, "request_id": request_id}).encode()
    try:
        kept = decode_request(frame).request_id
    except MessageError as error:
        kept = error.request_id
    assert kept == request_id
