"""Messages to frames. Apart from what reads them, since a worker only writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic_core import to_json

from zmqruntime.messages.errors import DecodeError, ErrorCode, FieldFault
from zmqruntime.messages.json_value import find_fault, join_path

if TYPE_CHECKING:
    from zmqruntime.messages.base import Model
    from zmqruntime.messages.requests import Request
    from zmqruntime.messages.responses import Reply

__all__ = ["encode", "encode_json", "encode_with_id"]

_REQUEST_ID: Final = {"request_id"}


def encode(message: Model, exclude: set[str] | None = None) -> bytes:
    """Return ``message`` as the UTF-8 JSON object of one frame, without some fields."""
    return message.__pydantic_serializer__.to_json(message, exclude=exclude)


def encode_with_id(message: Request | Reply, request_id: str | None) -> bytes:
    """Return ``message`` as one frame, under another ``request_id`` than its own: without a copy.

    A client numbers what it sends, and a server answers under the number that it was sent.
    """
    return b'{"request_id":%b,%b' % (to_json(request_id), encode(message, _REQUEST_ID)[1:])


def encode_json(value: object, name: str = "value") -> bytes:
    """Return ``value`` as JSON (RFC 8259: string keys, no NaN, no Infinity).

    Raises:
        DecodeError: JSON cannot carry it; the error says which part, as a path from ``name``.
    """
    if fault := find_fault(value):
        path, problem = fault
        field = join_path(path, name)
        raise DecodeError(
            ErrorCode.INVALID_REQUEST, f"{field} {problem}", faults=(FieldFault(field, problem),)
        )
    return to_json(value)
