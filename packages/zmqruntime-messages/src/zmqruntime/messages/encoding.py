"""Encoding of messages and JSON values into frames. A worker loads no decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic_core import to_json

from zmqruntime.messages.errors import DecodeError
from zmqruntime.messages.json_value import find_fault

if TYPE_CHECKING:
    from zmqruntime.messages.base import Model
    from zmqruntime.messages.replies import Reply
    from zmqruntime.messages.requests import Outgoing, Request

__all__ = ["encode"]

_REQUEST_ID: Final = {"request_id"}


class PreparedRequest(NamedTuple):
    """A request that is validated and encoded once, to be sent under any ``request_id``.

    Made by `prepare`, or composed by code that guarantees a valid frame.
    """

    type: str
    body: bytes
    """The frame after the ``request_id``, including the closing brace."""
    execution_id: str | None = None
    request_id: str | None = None
    """None: assigned when the request is sent."""


def encode(message: Model, exclude: set[str] | None = None) -> bytes:
    """Return ``message`` as a frame, a JSON object in UTF-8, without the fields in ``exclude``."""
    return message.__pydantic_serializer__.to_json(message, exclude=exclude)


def encode_with_id(message: Outgoing | Reply, request_id: str | None) -> bytes:
    """Return ``message`` as a frame with the given ``request_id``, without copying the model."""
    if isinstance(message, PreparedRequest):
        body = message.body
    else:
        body = encode(message, _REQUEST_ID)[1:]
    return b'{"request_id":%b,%b' % (to_json(request_id), body)


def prepare(request: Request) -> PreparedRequest:
    """Encode ``request`` once, for any number of sends."""
    body = encode(request, _REQUEST_ID)[1:]
    about: str | None = getattr(request, "execution_id", None)
    return PreparedRequest(request.type, body, about, request.request_id)


def encode_json(value: object, name: str = "value") -> bytes:
    """Return ``value`` as JSON (RFC 8259: string keys, no NaN, no Infinity).

    Raises:
        DecodeError: a part of ``value`` is not JSON; the error has its path from ``name``.
    """
    if fault := find_fault(value):
        path, problem = fault
        raise DecodeError.of_part(path, name, problem)
    return to_json(value)
