"""Frames to messages: the one place where bytes of a peer are believed or not."""

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

# What a peer got wrong is quoted back to it, but a frame of faults must not become a larger one.
_MAX_FAULTS_NAMED: Final = 20
_MAX_FAULTS_READ: Final = 1000
_MAX_QUOTED: Final = 80


def decode_request(frame: bytes) -> Request:
    """Return the request that ``frame`` holds, parsed to its last part.

    Of a long frame only the task and the config of an ``execute`` are parsed at any length. A
    server, which needs neither, takes such a frame by `split_request`.

    Raises:
        ProtocolVersionError: it is written in another protocol version.
        DecodeError: it is not a request; the error names the field at fault.
    """
    if len(frame) > MAX_REQUEST_BYTES:
        from zmqruntime.messages.long_requests import split_request  # Most frames are short.

        split_request(frame)
    return _decode(_requests(), frame, "request")


def parse_request(frame: bytes) -> Request:
    """Return the request in a frame of which the length, or each part's, was checked before."""
    return _decode(_requests(), frame, "request")


def decode_reply(frame: bytes) -> Reply:
    """Return the reply that ``frame`` holds; raises as `decode_request` does."""
    return _decode(_replies(), frame, "reply")


def decode_event(frame: bytes) -> Event:
    """Return the event that ``frame`` holds; raises as `decode_request` does."""
    return _decode(_events(), frame, "event")


def decode_events(frame: bytes) -> Sequence[Event]:
    """Return the events that ``frame`` holds: one, or as many as there are in an array.

    Raises as `decode_request` does, for the first event of an array that is none: then nobody
    knows what the others are worth.
    """
    if frame.lstrip()[:1] != b"[":
        return (_decode(_events(), frame, "event"),)
    try:
        events: list[Event] = _event_lists().validator.validate_json(frame)
    except ValidationError as error:
        for event in _parse(frame, "event"):
            decode_event(to_json(event, inf_nan_mode="null"))
        # It has a number past the largest, which was read as infinite.
        raise _explain(error, "array of events") from None
    _check_numbers(frame, "event")
    return events


def decode_json(frame: bytes) -> Any:
    """Return the JSON value in ``frame``. Raises `DecodeError` when it holds none."""
    return _parse(frame, "message")


def make_error_reply(error: MessageError) -> ErrorReply:
    """Return the reply that tells a peer what was wrong with its request."""
    return ErrorReply(
        code=error.code,
        message=error.message,
        request_id=error.request_id,
        details=tuple(ErrorDetail(field=f.field, message=f.message) for f in error.faults),
    )


@contextmanager
def decode_errors(what: str) -> Iterator[None]:
    """Raise pydantic's complaint about a ``what`` that is made inside as a `DecodeError`.

    For what a caller of one's own gives: the error names each field at fault.
    """
    try:
        yield
    except ValidationError as error:
        raise _explain(error, what) from None


# Each is built when it is first needed: a server reads no replies, and a client no requests.
@cache
def _requests() -> TypeAdapter[Request]:
    # The names in requests do not come again: kept for the next one, they only take memory.
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
        raise _refusal(frame, error, what) from None
    _check_numbers(frame, what)
    return message


def _check_numbers(frame: bytes, what: str) -> None:
    # Hardly any frame has one of them, and most have not even the letters: those are found fast.
    if (b"N" in frame and b"NaN" in frame) or (b"I" in frame and b"Infinity" in frame):
        _parse(frame, what)  # in a field that it ignores, pydantic lets them pass


def _parse(frame: bytes, what: str) -> Any:
    try:
        return from_json(frame, allow_inf_nan=False)
    except ValueError as error:
        raise DecodeError(
            ErrorCode.MALFORMED, f"the {what} is not JSON (RFC 8259): {error}"
        ) from None


def _refusal(frame: bytes, error: ValidationError, what: str) -> MessageError:
    """Say what is wrong, the coarsest fault first: JSON, object, version, type, fields."""
    value = _parse(frame, what)
    if not isinstance(value, dict):
        return not_an_object(what)
    # The first part of every path is the union's tag, which the sentence names already.
    return find_coarse_fault(value, what) or _explain(
        error, f"{value['type']} {what}", skip=1, request_id=read_request_id(value)
    )


def not_an_object(what: str) -> DecodeError:
    """Return the refusal of another JSON value than an object."""
    return DecodeError(
        ErrorCode.MALFORMED, f"the {what} is JSON, but not an object such as {{...}}"
    )


def read_request_id(value: dict[str, Any]) -> str | None:
    """Return the id to reply under; None when there is no valid one."""
    request_id = value.get("request_id")
    is_valid = isinstance(request_id, str) and len(request_id) <= MAX_REQUEST_ID
    return request_id if is_valid else None


def find_coarse_fault(value: dict[str, Any], what: str) -> MessageError | None:
    """Return what is wrong with the version or the type of a message; None: nothing."""
    request_id = read_request_id(value)
    protocol = value.get("protocol", PROTOCOL_VERSION)
    if type(protocol) is int and protocol != PROTOCOL_VERSION:
        return ProtocolVersionError(
            ErrorCode.UNSUPPORTED_PROTOCOL,
            f"the {what} is written in protocol {_quote(protocol)};"
            f" this peer speaks {PROTOCOL_VERSION}",
            faults=(FieldFault("protocol", f"only {PROTOCOL_VERSION} is spoken here"),),
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
            f"{_quote(tag)} is no type of {what}; known are {known}",
            faults=(FieldFault("type", f"one of {known}"),),
            request_id=request_id,
        )
    return None


@cache
def _types_of(what: str) -> tuple[str, ...]:
    from zmqruntime.messages.replies import Reply

    union, _ = get_args({"request": Request, "reply": Reply, "event": Event}[what])
    return tuple(model.model_fields["type"].default for model in get_args(union))


def _explain(
    error: ValidationError, what: str, *, skip: int = 0, request_id: str | None = None
) -> DecodeError:
    count = error.error_count()
    faults: tuple[FieldFault, ...] = ()
    if count <= _MAX_FAULTS_READ:  # each costs a kilobyte to read
        complaints = error.errors(include_url=False, include_input=False)
        faults = tuple(_fault(complaint, skip) for complaint in complaints[:_MAX_FAULTS_NAMED])
    parts = [f"{field}: {message}" if field else message for field, message in faults]
    if count > len(faults):
        parts.append(f"{count} faults in all")
    return DecodeError(
        ErrorCode.INVALID_REQUEST,
        f"invalid {what}: {'; '.join(parts)}",
        faults=faults,
        request_id=request_id,
    )


def _fault(complaint: ErrorDetails, skip: int) -> FieldFault:
    where = complaint["loc"][skip:]
    if where[-1:] == ("[key]",):  # pydantic's mark for a key, which the part before it names
        where = where[:-1]
    context = complaint.get("ctx", {})
    inside = context.get("path", ())  # of a JSON value
    is_name = context.get("pattern") == NAME_PATTERN
    message = NAME_WORDS if is_name else complaint["msg"]
    return FieldFault(join_path((*where, *inside)), message)


def _quote(value: int | str) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."
