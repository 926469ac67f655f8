"""Errors of messages.

ZMQRuntimeError
    MessageError
        DecodeError            not a valid message of this protocol
        ProtocolVersionError   a message of another protocol version
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from zmqruntime.messages.escaping import printable

__all__ = [
    "DecodeError",
    "ErrorCode",
    "FieldFault",
    "MessageError",
    "ProtocolVersionError",
    "ZMQRuntimeError",
]


class ErrorCode(StrEnum):
    """Why a server rejected a request: the ``code`` of an ``error`` reply."""

    MALFORMED = "malformed"
    INVALID_REQUEST = "invalid_request"
    UNKNOWN_TYPE = "unknown_type"
    UNSUPPORTED_PROTOCOL = "unsupported_protocol"
    UNKNOWN_EXECUTION = "unknown_execution"
    CONFLICT = "conflict"
    QUEUE_FULL = "queue_full"
    NOT_SUBSCRIBED = "not_subscribed"
    SHUTTING_DOWN = "shutting_down"
    TOO_LARGE = "too_large"
    BUSY = "busy"
    JOURNAL_UNAVAILABLE = "journal_unavailable"
    INTERNAL = "internal"


class FieldFault(NamedTuple):
    """An invalid field of a message: its dotted path and the error."""

    field: str
    message: str


class ZMQRuntimeError(Exception):
    """Base class of the errors of the ``zmqruntime`` packages.

    Its ``str`` is safe to print: control characters other than line breaks and tabs are escaped by
    `printable`. Attributes hold the unescaped text.
    """

    def __str__(self) -> str:
        return printable(super().__str__(), newline="\n")


class MessageError(ZMQRuntimeError):
    """A frame that is not a valid message.

    ``code`` is the code for an error reply, ``faults`` lists the invalid fields, ``request_id`` is
    the sender's, if it could be decoded.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        faults: tuple[FieldFault, ...] = (),
        request_id: str | None = None,
    ) -> None:
        # Both arguments, so that the error survives pickling (process pools).
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.faults = faults
        self.request_id = request_id

    def __str__(self) -> str:
        return printable(self.message, newline="\n")


class DecodeError(MessageError):
    """The frame is not JSON, not an object, of an unknown type, or has an invalid field."""

    @classmethod
    def of_field(cls, what: str, field: str, reason: str) -> DecodeError:
        """Return the error for one invalid field of a ``what``."""
        return cls(
            ErrorCode.INVALID_REQUEST,
            f"invalid {what}: {field}: {reason}",
            faults=(FieldFault(field, reason),),
        )

    @classmethod
    def of_part(cls, path: Sequence[int | str], root: str, problem: str) -> DecodeError:
        """Return the error for an invalid part of a value, at ``path`` from ``root``."""
        from zmqruntime.messages.json_value import join_path  # Lazy: loads pydantic.

        field = join_path(path, root)
        return cls(
            ErrorCode.INVALID_REQUEST, f"{field} {problem}", faults=(FieldFault(field, problem),)
        )


class ProtocolVersionError(MessageError):
    """The message is of an unsupported protocol version."""
