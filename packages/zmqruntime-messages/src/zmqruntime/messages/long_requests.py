"""Long requests: bounded by their parts, and passed on without being parsed.

A model is built only of what a server has to know, which is short. The task and the config of an
``execute`` may be as long as a message: they are checked to be JSON objects, and stay bytes. So a
long request costs a server a pass through its bytes, and no object for what is in them.
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
    not_an_object,
    parse_request,
    read_request_id,
)
from zmqruntime.messages.errors import DecodeError, ErrorCode, FieldFault
from zmqruntime.messages.execute_request import ExecuteHead, ExecuteRequest, UnparsedExecute
from zmqruntime.messages.requests import Incoming

__all__ = ["find_body_fault", "split_request"]

_CHUNK_BYTES: Final = 65_536
_MAX_QUOTED: Final = 80

_FIELDS: Final = tuple(ExecuteRequest.model_fields)
_HEAD_FIELDS: Final = tuple(ExecuteHead.model_fields)
_BODY_FIELDS: Final = ("task", "config")
_MEMBERS: Final[Any] = [(name, msgspec.Raw, msgspec.Raw()) for name in _FIELDS]
# Of several members with one name the last one counts.
_known_alone: Final = msgspec.json.Decoder(
    msgspec.defstruct("_KnownAlone", _MEMBERS, forbid_unknown_fields=True)
)
_known_and_others: Final = msgspec.json.Decoder(msgspec.defstruct("_KnownAndOthers", _MEMBERS))

# A value that is wrong in the same way, by the first byte of one that may be long.
_STAND_INS: Final = {b"{": b"{}", b"[": b"[]", b'"': b'""', b"n": b"null", b"t": b"true"}


def split_request(frame: bytes) -> Incoming:
    """Return the request in a frame that is longer than `MAX_REQUEST_BYTES`.

    An ``execute`` whose task and config are longer than that together stays unparsed.

    Raises:
        ProtocolVersionError: it is written in another protocol version.
        DecodeError: it is not a request, or has too many bytes beside a task and a config.
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
            _find_culprit(sizes, unknown),
        )
    if unknown is not None:
        reason = "Extra inputs are not permitted"
        error = DecodeError.of_field("execute request", unknown, reason)
        error.request_id = request_id
        raise error
    _require_unicode(frame)
    if body_size <= MAX_REQUEST_BYTES:
        # Long for its spaces or its labels. The same task is then parsed whatever is around it.
        return parse_request(_join(members))
    checked = parse_request(_join(members, stands_in=True))
    assert isinstance(checked, ExecuteRequest)
    config = members.get("config")
    return UnparsedExecute(
        **{name: getattr(checked, name) for name in _HEAD_FIELDS},
        task_json=memoryview(members["task"]),
        config_json=None if config is None or checked.config is None else memoryview(config),
    )


def find_body_fault(frame: bytes) -> DecodeError | None:
    """Return why the task or the config of a request that was split cannot be parsed.

    None: both can, so that a model says what is wrong with them.
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
    """Return the raw members that an ``execute`` may have, and the name of one that it may not."""
    unknown: str | None = None
    try:
        try:
            found = _known_alone.decode(frame)
        except msgspec.ValidationError as error:
            # The only word on it is the sentence: "Object contains unknown field `NAME`".
            unknown = str(error).partition("`")[2][:_MAX_QUOTED].removesuffix("`")
            found = _known_and_others.decode(frame)
    except msgspec.ValidationError:
        raise not_an_object("request") from None
    except RecursionError:
        raise _malformed("it is nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(str(error)) from None
    every = {name: getattr(found, name) for name in _FIELDS}
    return {name: raw for name, raw in every.items() if len(memoryview(raw))}, unknown


def _join(members: dict[str, msgspec.Raw], *, stands_in: bool = False) -> bytes:
    """Return a frame of members; with values that stand in for the task and the config."""
    parts: list[bytes] = []
    for name, raw in members.items():
        value = bytes(memoryview(raw)[:1] if stands_in and name in _BODY_FIELDS else raw)
        if stands_in and name in _BODY_FIELDS:
            value = _STAND_INS.get(value, b"0")
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


def _find_culprit(sizes: dict[str, int], unknown: str | None) -> str | None:
    """Return the member that makes a head too long; None: none alone does, as with spaces."""
    largest = max(_HEAD_FIELDS, key=lambda name: sizes.get(name, 0))
    return largest if sizes.get(largest, 0) > MAX_REQUEST_BYTES // 2 else unknown


def _too_large(what: str, size: int, request_id: str | None, field: str | None) -> DecodeError:
    reason = f"{size:,} bytes; at most {MAX_REQUEST_BYTES:,} are taken"
    advice = f"shorten {field}" if field else "shorten its fields; spaces count, too"
    return DecodeError(
        ErrorCode.TOO_LARGE,
        f"the {what} has {reason}: {advice}",
        faults=(FieldFault(field, f"shorten it: {reason} in all"),) if field else (),
        request_id=request_id,
    )
