"""Decoding of requests longer than `MAX_REQUEST_BYTES` without parsing their body.

Only an ``execute`` may be that long, for its body: the task and the config. The body is validated
as JSON objects and stays raw bytes; only the head becomes a model. A long request costs a server
one scan of its bytes and no Python objects for the values.
"""

from __future__ import annotations

import codecs
from typing import Any, Final

import msgspec
from pydantic_core import from_json, to_json

from zmqruntime.messages.base import MAX_REQUEST_BYTES
from zmqruntime.messages.decoding import (
    decode_json,
    find_coarse_fault,
    make_object_error,
    parse_request,
    read_request_id,
)
from zmqruntime.messages.errors import DecodeError, ErrorCode, FieldFault
from zmqruntime.messages.execute_request import ExecuteHead, ExecuteRequest, UnparsedExecute
from zmqruntime.messages.requests import Incoming

__all__ = ["find_body_fault", "split_request"]

# Under the import lock: building a deferred model is not thread-safe before pydantic 2.14.
UnparsedExecute.model_rebuild()

_CHUNK_BYTES: Final = 65_536
_MAX_QUOTED: Final = 80

_FIELDS: Final = tuple(ExecuteRequest.model_fields)
_HEAD_FIELDS: Final = tuple(ExecuteHead.model_fields)
_BODY_FIELDS: Final = ("task", "config")
_MEMBERS: Final[Any] = [(name, msgspec.Raw, msgspec.Raw()) for name in _FIELDS]
# Of duplicate members the last one counts.
_known_alone: Final = msgspec.json.Decoder(
    msgspec.defstruct("_KnownAlone", _MEMBERS, forbid_unknown_fields=True)
)
_known_and_others: Final = msgspec.json.Decoder(msgspec.defstruct("_KnownAndOthers", _MEMBERS))

# Short placeholders of the same JSON type, by the first byte of a raw value.
_PLACEHOLDERS: Final = {b"{": b"{}", b"[": b"[]", b'"': b'""', b"n": b"null", b"t": b"true"}


def split_request(frame: bytes) -> Incoming:
    """Return the request in a frame longer than `MAX_REQUEST_BYTES`.

    A body longer than that stays unparsed.

    Raises:
        ProtocolVersionError: the protocol version is not supported.
        DecodeError: the frame is not a valid request, or too long without its body.
    """
    members, unknown = _split(frame)
    sizes = {name: len(memoryview(raw)) for name, raw in members.items()}
    body_size = sum(sizes.get(name, 0) for name in _BODY_FIELDS)
    coarse: dict[str, Any] = {
        name: decode_json(bytes(members[name]))
        for name in ("request_id", "protocol", "type")
        if name in members and sizes[name] <= MAX_REQUEST_BYTES
    }
    request_id = read_request_id(coarse)
    if "type" in coarse or "type" not in members:
        if fault := find_coarse_fault(coarse, "request"):
            raise fault
        if coarse["type"] != "execute":
            raise _too_large(f"{coarse['type']} request", len(frame), request_id, None)
    if (head_size := len(frame) - body_size) > MAX_REQUEST_BYTES:
        raise _too_large(
            f"{'execute ' if 'type' in coarse else ''}request without its task and config",
            head_size,
            request_id,
            _find_largest_member(sizes, unknown),
        )
    if unknown is not None:
        reason = "Extra inputs are not permitted"
        error = DecodeError.of_field("execute request", unknown, reason)
        error.request_id = request_id
        raise error
    _require_unicode(frame)
    if body_size <= MAX_REQUEST_BYTES:
        # Long for its white space or labels: whether a body is parsed depends on its own length.
        return parse_request(_join(members))
    checked = parse_request(_join(members, placeholders=True))
    assert isinstance(checked, ExecuteRequest)
    config = members.get("config")
    return UnparsedExecute(
        **{name: getattr(checked, name) for name in _HEAD_FIELDS},
        task_json=memoryview(members["task"]),
        config_json=None if config is None or checked.config is None else memoryview(config),
    )


def find_body_fault(frame: bytes) -> DecodeError | None:
    """Return why the body of a split request cannot be parsed; None if it can be.

    A model then reports what is invalid in it.
    """
    request = split_request(frame)
    assert isinstance(request, UnparsedExecute)
    for name, raw in (("task", request.task_json), ("config", request.config_json)):
        try:
            from_json(bytes(raw or b"null"), cache_strings=False)
        except ValueError as error:
            return DecodeError.of_field("execute request", name, f"cannot be parsed: {error}")
    return None


def _split(frame: bytes) -> tuple[dict[str, msgspec.Raw], str | None]:
    """Return the raw known members of an ``execute``, and the name of an unknown one."""
    unknown: str | None = None
    try:
        try:
            found = _known_alone.decode(frame)
        except msgspec.ValidationError as error:
            # msgspec names the field only in its message: "Object contains unknown field `NAME`".
            unknown = str(error).partition("`")[2][:_MAX_QUOTED].removesuffix("`")
            found = _known_and_others.decode(frame)
    except msgspec.ValidationError:
        raise make_object_error("request") from None
    except RecursionError:
        raise _malformed("nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(str(error)) from None
    every = {name: getattr(found, name) for name in _FIELDS}
    return {name: raw for name, raw in every.items() if len(memoryview(raw))}, unknown


def _join(members: dict[str, msgspec.Raw], *, placeholders: bool = False) -> bytes:
    """Return a frame of raw members, optionally with placeholders for the body."""
    parts: list[bytes] = []
    for name, raw in members.items():
        value = bytes(memoryview(raw)[:1] if placeholders and name in _BODY_FIELDS else raw)
        if placeholders and name in _BODY_FIELDS:
            value = _PLACEHOLDERS.get(value, b"0")
        parts.append(b"%b:%b" % (to_json(name), value))
    return b"{%b}" % b",".join(parts)


def _require_unicode(frame: bytes) -> None:
    if frame.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(frame), _CHUNK_BYTES):
            decoder.decode(frame[start : start + _CHUNK_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _malformed(f"invalid UTF-8 ({error.reason})") from None


def _malformed(reason: str) -> DecodeError:
    return DecodeError(ErrorCode.MALFORMED, f"the request is not JSON (RFC 8259): {reason}")


def _find_largest_member(sizes: dict[str, int], unknown: str | None) -> str | None:
    """Return the member that makes the head too long; None if no single member does."""
    largest = max(_HEAD_FIELDS, key=lambda name: sizes.get(name, 0))
    return largest if sizes.get(largest, 0) > MAX_REQUEST_BYTES // 2 else unknown


def _too_large(what: str, size: int, request_id: str | None, field: str | None) -> DecodeError:
    reason = f"{size:,} bytes; the maximum is {MAX_REQUEST_BYTES:,}"
    advice = f"shorten {field}" if field else "shorten its fields or white space"
    return DecodeError(
        ErrorCode.TOO_LARGE,
        f"the {what} has {reason}: {advice}",
        faults=(FieldFault(field, f"shorten it: {reason} in all"),) if field else (),
        request_id=request_id,
    )
