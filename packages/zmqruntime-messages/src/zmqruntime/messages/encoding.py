"""Messages to frames. Apart from what reads them, since a worker only writes."""

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
    """A request that is checked and encoded but for its id: as a client keeps it that asks often.

    To be made by `prepare`, or by who composes frames and knows that they are right.
    """

    type: str
    body: bytes
    """The frame behind the id, up to its closing brace."""
    execution_id: str | None = None
    """What it is about."""
    request_id: str | None = None
    """None: whoever sends it makes one."""


def encode(message: Model, exclude: set[str] | None = None) -> bytes:
    """Return ``message`` as the UTF-8 JSON object of one frame, without some fields."""
    return message.__pydantic_serializer__.to_json(message, exclude=exclude)


def encode_with_id(message: Outgoing | Reply, request_id: str | None) -> bytes:
    """Return ``message`` as one frame, under another ``request_id`` than its own: without a copy.

    A client numbers what it sends, and a server answers under the number that it was sent.
    """
    if isinstance(message, PreparedRequest):
        body = message.body
    else:
        body = encode(message, _REQUEST_ID)[1:]
    return b'{"request_id":%b,%b' % (to_json(request_id), body)


def prepare(request: Request) -> PreparedRequest:
    """Return a request that is encoded once, however often it goes out."""
    body = encode(request, _REQUEST_ID)[1:]
    about: str | None = getattr(request, "execution_id", None)
    return PreparedRequest(request.type, body, about, request.request_id)


def encode_json(value: object, name: str = "value") -> bytes:
    """Return ``value`` as JSON (RFC 8259: string keys, no NaN, no Infinity).

    Raises:
        DecodeError: JSON cannot carry it; the error says which part, as a path from ``name``.
    """
    if fault := find_fault(value):
        path, problem = fault
        raise DecodeError.of_part(path, name, problem)
    return to_json(value)
