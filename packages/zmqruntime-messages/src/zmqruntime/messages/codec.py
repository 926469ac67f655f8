"""Frames to messages and back: the one place where bytes of a peer are believed or not."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from zmqruntime.messages.base import MAX_NESTING, PROTOCOL_VERSION, JsonValue, Model
from zmqruntime.messages.errors import (
    DecodeError,
    ErrorCode,
    FieldFault,
    MessageError,
    ProtocolVersionError,
)
from zmqruntime.messages.events import Event
from zmqruntime.messages.requests import ExecuteRequest, Request
from zmqruntime.messages.responses import ErrorDetail, ErrorReply, Reply

__all__ = [
    "decode_event",
    "decode_json",
    "decode_reply",
    "decode_request",
    "encode",
    "encode_json",
    "explain",
    "make_error_reply",
]

_T = TypeVar("_T")

_REQUEST: Final[TypeAdapter[Request]] = TypeAdapter(Request)
_REPLY: Final[TypeAdapter[Reply]] = TypeAdapter(Reply)
_EVENT: Final[TypeAdapter[Event]] = TypeAdapter(Event)
_JSON: Final[TypeAdapter[JsonValue]] = TypeAdapter(
    JsonValue, config=ConfigDict(strict=True, allow_inf_nan=False)
)


def encode(message: Model) -> bytes:
    """Return ``message`` as the UTF-8 JSON object of one frame."""
    return message.__pydantic_serializer__.to_json(message)


def decode_request(frame: bytes) -> Request:
    """Return the request that ``frame`` holds.

    Raises:
        ProtocolVersionError: it is written in another protocol version.
        DecodeError: it is not a request; the error names the field at fault.
    """
    request = _decode(_REQUEST, frame, "request")
    if type(request) is ExecuteRequest:
        # A number such as 1e999 is JSON, yet would be read as infinite and never written again.
        written = to_json((request.task, request.config), inf_nan_mode="constants")
        if b"Infinity" in written:
            _refuse_not_finite(frame, "request")
    return request


def decode_reply(frame: bytes) -> Reply:
    """Return the reply that ``frame`` holds; raises as `decode_request` does."""
    return _decode(_REPLY, frame, "reply")


def decode_event(frame: bytes) -> Event:
    """Return the event that ``frame`` holds; raises as `decode_request` does."""
    return _decode(_EVENT, frame, "event")


def encode_json(value: object, name: str = "value") -> bytes:
    """Return ``value`` as JSON (RFC 8259: string keys, no NaN, no Infinity).

    Raises:
        DecodeError: JSON cannot carry it; the error says which part, as a path from ``name``.
    """
    try:
        frame = to_json(_JSON.validate_python(value))
        if frame.count(b"[") + frame.count(b"{") > MAX_NESTING:
            # As many levels around it as a message adds, and then some.
            from_json(b"[" * 10 + frame + b"]" * 10)
    except ValidationError as error:
        path, problem = _json_problem(error, name)
    except ValueError as error:
        path, problem = name, f"cannot be written as JSON: {error}"
    else:
        return frame
    raise DecodeError(
        ErrorCode.INVALID_REQUEST,
        f"{path} {problem}",
        faults=(FieldFault(path, problem),),
    )


def decode_json(frame: bytes) -> Any:
    """Return the JSON value in ``frame``. Raises `DecodeError` when it holds none."""
    try:
        return from_json(frame, allow_inf_nan=False)
    except ValueError as error:
        raise _malformed("message", error) from None


def make_error_reply(error: MessageError) -> ErrorReply:
    """Return the reply that tells a peer what was wrong with its request."""
    return ErrorReply(
        code=error.code,
        message=error.message,
        request_id=error.request_id,
        details=tuple(ErrorDetail(field=f.field, message=f.message) for f in error.faults),
    )


def explain(error: ValidationError, what: str, *, request_id: str | None = None) -> DecodeError:
    """Return pydantic's complaint about a ``what`` as the error that names each field."""
    faults = tuple(
        FieldFault(_path(fault["loc"]), fault["msg"]) for fault in error.errors(include_url=False)
    )
    sentence = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
    return DecodeError(
        ErrorCode.INVALID_REQUEST,
        f"invalid {what}: {sentence}",
        faults=faults,
        request_id=request_id,
    )


def _decode(adapter: TypeAdapter[_T], frame: bytes, what: str) -> _T:
    try:
        message = adapter.validate_json(frame)
    except ValidationError as error:
        raise _refusal(frame, error, what) from None
    if b"NaN" in frame or b"Infinity" in frame:
        _refuse_not_finite(frame, what)
    return message


def _refusal(frame: bytes, error: ValidationError, what: str) -> MessageError:
    """Say what is wrong, the coarsest fault first: JSON, object, version, type, fields."""
    try:
        value = from_json(frame, allow_inf_nan=False)
    except ValueError as fault:
        return _malformed(what, fault)
    if not isinstance(value, dict):
        return DecodeError(
            ErrorCode.MALFORMED,
            f"the {what} is JSON, but not an object such as {{...}}",
        )
    request_id = _request_id(value)
    protocol = value.get("protocol", PROTOCOL_VERSION)
    if type(protocol) is int and protocol != PROTOCOL_VERSION:
        return ProtocolVersionError(
            ErrorCode.UNSUPPORTED_PROTOCOL,
            f"the {what} is written in protocol {protocol}; this peer speaks {PROTOCOL_VERSION}",
            faults=(FieldFault("protocol", f"only {PROTOCOL_VERSION} is spoken here"),),
            request_id=request_id,
        )
    first = error.errors(include_url=False)[0]
    if first["type"] == "union_tag_not_found" or not isinstance(value["type"], str):
        return DecodeError(
            ErrorCode.INVALID_REQUEST,
            f"invalid {what}: type: a string is required",
            faults=(FieldFault("type", "a string is required"),),
            request_id=request_id,
        )
    if first["type"] == "union_tag_invalid":
        expected = first["ctx"]["expected_tags"]
        return DecodeError(
            ErrorCode.UNKNOWN_TYPE,
            f"{value['type']!r} is no type of {what}; known are {expected}",
            faults=(FieldFault("type", f"one of {expected}"),),
            request_id=request_id,
        )
    return explain(error, f"{value['type']} {what}", request_id=request_id)


def _refuse_not_finite(frame: bytes, what: str) -> None:
    """Raise for a NaN, or for a number so large that it was read as infinite; not for a string."""
    try:
        value = from_json(frame, allow_inf_nan=False)
    except ValueError as fault:
        raise _malformed(what, fault) from None
    try:
        _JSON.validate_python(value)
    except ValidationError as error:
        fields = [_json_path(fault["loc"]) for fault in error.errors(include_url=False)]
        raise DecodeError(
            ErrorCode.INVALID_REQUEST,
            f"invalid {what}: {fields[0]}: the number is out of range",
            faults=tuple(FieldFault(field, "the number is out of range") for field in fields),
            request_id=_request_id(value),
        ) from None


def _malformed(what: str, fault: ValueError) -> DecodeError:
    return DecodeError(ErrorCode.MALFORMED, f"the {what} is not JSON (RFC 8259): {fault}")


def _request_id(value: Any) -> str | None:
    request_id = value.get("request_id")
    return request_id if isinstance(request_id, str) else None


def _json_problem(error: ValidationError, name: str) -> tuple[str, str]:
    """Return which part of a value JSON cannot carry, and why."""
    fault = error.errors(include_url=False)[0]
    loc, kind = fault["loc"], type(fault["input"]).__name__
    if fault["type"] == "recursion_loop" or len(loc) > 2 * MAX_NESTING:
        return name, f"contains itself, or is nested deeper than {MAX_NESTING} levels"
    if loc[-1:] == ("[key]",):
        return _json_path(loc[:-2], name), f"has a key of type {kind}; JSON keys are strings"
    if fault["type"] == "finite_number":
        return _json_path(loc, name), f"is {fault['input']}, which JSON cannot carry"
    return _json_path(loc, name), f"is of type {kind}, which JSON cannot carry"


def _path(loc: tuple[int | str, ...]) -> str:
    """Write a location of pydantic's, whose first part is the union's tag, as a path."""
    return _join(loc[1:] if len(loc) > 1 else loc)


def _json_path(loc: tuple[int | str, ...], root: str = "") -> str:
    """Write a location inside a `JsonValue`, where every other part is a type, as a path."""
    keys = loc[1::2]
    return _join((root, *keys) if root else keys)


def _join(parts: tuple[int | str, ...]) -> str:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
