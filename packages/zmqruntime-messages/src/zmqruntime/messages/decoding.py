"""Decoding and validation of frames; errors name the invalid fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from zmqruntime.messages.base import (
    MAX_REQUEST_BYTES,
    MAX_REQUEST_ID,
    NAME_PATTERN,
    NAME_WORDS,
    PROTOCOL_VERSION,
)
from zmqruntime.messages.errors import (
    DecodeError,
    ErrorCode,
    FieldFault,
    MessageError,
    ProtocolVersionError,
)
from zmqruntime.messages.events import Event
from zmqruntime.messages.json_value import join_path
from zmqruntime.messages.requests import Request
from zmqruntime.messages.server_replies import ErrorDetail, ErrorReply

if TYPE_CHECKING:
    from zmqruntime.messages.replies import Reply

__all__ = ["decode_event", "decode_events", "decode_reply", "decode_request", "make_error_reply"]

_T = TypeVar("_T")

# Bounds of an error reply: an invalid frame must not produce a larger one.
_MAX_FAULTS_NAMED: Final = 20
_MAX_FAULTS_READ: Final = 1000
_MAX_QUOTED: Final = 80


def decode_request(frame: bytes) -> Request:
    """Return the request in ``frame``, parsed completely.

    Only the body of an ``execute`` may exceed `MAX_REQUEST_BYTES`. A server does not need the body
    and decodes long frames by `split_request`.

    Raises:
        ProtocolVersionError: the protocol version is not supported.
        DecodeError: the frame is not a valid request; the error names the invalid fields.
    """
    if len(frame) > MAX_REQUEST_BYTES:
        from zmqruntime.messages.long_requests import split_request  # Lazy: most frames are short.

        split_request(frame)
    return _decode(_requests(), frame, "request")


def parse_request(frame: bytes) -> Request:
    """Return the request in a frame whose length was checked before."""
    return _decode(_requests(), frame, "request")


def decode_reply(frame: bytes) -> Reply:
    """Return the reply in ``frame``. Raises like `decode_request`."""
    return _decode(_replies(), frame, "reply")


def decode_event(frame: bytes) -> Event:
    """Return the event in ``frame``. Raises like `decode_request`."""
    return _decode(_events(), frame, "event")


def decode_events(frame: bytes) -> Sequence[Event]:
    """Return the events in ``frame``: one event, or a non-empty array of events.

    Raises like `decode_request`, for the first invalid event; an array is valid as a whole or not.
    """
    if frame.lstrip()[:1] != b"[":
        return (_decode(_events(), frame, "event"),)
    try:
        events: list[Event] = _event_lists().validator.validate_json(frame)
    except ValidationError as error:
        for event in _parse(frame, "event"):
            decode_event(to_json(event, inf_nan_mode="null"))
        # A number out of range was parsed as infinite.
        raise _convert_error(error, "array of events") from None
    _check_numbers(frame, "event")
    return events


def decode_json(frame: bytes) -> Any:
    """Return the JSON value in ``frame``. Raises `DecodeError` if it is not JSON."""
    return _parse(frame, "message")


def make_error_reply(error: MessageError) -> ErrorReply:
    """Return the ``error`` reply to a request that could not be decoded."""
    return ErrorReply(
        code=error.code,
        message=error.message,
        request_id=error.request_id,
        details=tuple(ErrorDetail(field=f.field, message=f.message) for f in error.faults),
    )


@contextmanager
def decode_errors(what: str) -> Iterator[None]:
    """Convert a pydantic ``ValidationError`` raised inside into a `DecodeError`.

    For models made from a caller's arguments. ``what`` names the model in the message.
    """
    try:
        yield
    except ValidationError as error:
        raise _convert_error(error, what) from None


# Built on first use: a server decodes no replies, a client no requests.
@cache
def _requests() -> TypeAdapter[Request]:
    # Strings in requests rarely repeat: caching them only costs memory.
    return TypeAdapter(Request, config=ConfigDict(cache_strings="keys"))


@cache
def _replies() -> TypeAdapter[Reply]:
    from zmqruntime.messages.replies import Reply

    return TypeAdapter(Reply)


@cache
def _events() -> TypeAdapter[Event]:
    return TypeAdapter(Event)


@cache
def _event_lists() -> TypeAdapter[list[Event]]:
    return TypeAdapter(Annotated[list[Event], Field(min_length=1)])


def _decode(adapter: TypeAdapter[_T], frame: bytes, what: str) -> _T:
    try:
        message: _T = adapter.validator.validate_json(frame)
    except ValidationError as error:
        raise _make_error(frame, error, what) from None
    _check_numbers(frame, what)
    return message


def _check_numbers(frame: bytes, what: str) -> None:
    # The search for one letter is the fast path: few frames contain it.
    if (b"N" in frame and b"NaN" in frame) or (b"I" in frame and b"Infinity" in frame):
        _parse(frame, what)  # pydantic accepts them in fields that it ignores


def _parse(frame: bytes, what: str) -> Any:
    try:
        return from_json(frame, allow_inf_nan=False)
    except ValueError as error:
        raise DecodeError(
            ErrorCode.MALFORMED, f"the {what} is not JSON (RFC 8259): {error}"
        ) from None


def _make_error(frame: bytes, error: ValidationError, what: str) -> MessageError:
    """Return the first error of the coarsest kind: JSON, object, version, type, fields."""
    value = _parse(frame, what)
    if not isinstance(value, dict):
        return make_object_error(what)
    # The first part of every path is the union's tag, already in the message.
    return find_coarse_fault(value, what) or _convert_error(
        error, f"{value['type']} {what}", skip=1, request_id=read_request_id(value)
    )


def make_object_error(what: str) -> DecodeError:
    """Return the error for a JSON value that is not an object."""
    return DecodeError(
        ErrorCode.MALFORMED, f"the {what} is JSON, but not an object such as {{...}}"
    )


def read_request_id(value: dict[str, Any]) -> str | None:
    """Return the ``request_id`` for the error reply; None if missing or invalid."""
    request_id = value.get("request_id")
    is_valid = isinstance(request_id, str) and len(request_id) <= MAX_REQUEST_ID
    return request_id if is_valid else None


def find_coarse_fault(value: dict[str, Any], what: str) -> MessageError | None:
    """Return the error of the protocol version or the type of a message; None if both are valid."""
    request_id = read_request_id(value)
    protocol = value.get("protocol", PROTOCOL_VERSION)
    if type(protocol) is int and protocol != PROTOCOL_VERSION:
        return ProtocolVersionError(
            ErrorCode.UNSUPPORTED_PROTOCOL,
            f"unsupported protocol version {_quote(protocol)} of the {what}:"
            f" use {PROTOCOL_VERSION}",
            faults=(FieldFault("protocol", f"only {PROTOCOL_VERSION} is supported"),),
            request_id=request_id,
        )
    tag = value.get("type")
    if not isinstance(tag, str):
        return DecodeError(
            ErrorCode.INVALID_REQUEST,
            f"invalid {what}: type: a string is required",
            faults=(FieldFault("type", "a string is required"),),
            request_id=request_id,
        )
    if tag not in (types := _types_of(what)):
        known = ", ".join(types)
        return DecodeError(
            ErrorCode.UNKNOWN_TYPE,
            f"unknown {what} type {_quote(tag)}: use one of {known}",
            faults=(FieldFault("type", f"one of {known}"),),
            request_id=request_id,
        )
    return None


@cache
def _types_of(what: str) -> tuple[str, ...]:
    from zmqruntime.messages.replies import Reply

    union, _ = get_args({"request": Request, "reply": Reply, "event": Event}[what])
    return tuple(model.model_fields["type"].default for model in get_args(union))


def _convert_error(
    error: ValidationError, what: str, *, skip: int = 0, request_id: str | None = None
) -> DecodeError:
    count = error.error_count()
    faults: tuple[FieldFault, ...] = ()
    if count <= _MAX_FAULTS_READ:  # A kilobyte of memory each.
        errors = error.errors(include_url=False, include_input=False)
        faults = tuple(_fault(details, skip) for details in errors[:_MAX_FAULTS_NAMED])
    parts = [f"{field}: {message}" if field else message for field, message in faults]
    if count > len(faults):
        parts.append(f"{count} errors in total")
    return DecodeError(
        ErrorCode.INVALID_REQUEST,
        f"invalid {what}: {'; '.join(parts)}",
        faults=faults,
        request_id=request_id,
    )


def _fault(details: ErrorDetails, skip: int) -> FieldFault:
    where = details["loc"][skip:]
    if where[-1:] == ("[key]",):  # pydantic's marker; the part before it is the key
        where = where[:-1]
    context = details.get("ctx", {})
    inside = context.get("path", ())  # the path within a JSON value
    is_name = context.get("pattern") == NAME_PATTERN
    message = NAME_WORDS if is_name else details["msg"]
    return FieldFault(join_path((*where, *inside)), message)


def _quote(value: int | str) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."
