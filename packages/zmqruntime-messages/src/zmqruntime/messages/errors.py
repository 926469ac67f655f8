"""What can be wrong with a message, and whose field is at fault.

ZMQRuntimeError
    MessageError
        DecodeError            the frame is not a message of this protocol
        ProtocolVersionError   it is one of another protocol version
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
    """Why a server refused a request: the ``code`` of an ``error`` reply."""

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
    """One field that a message got wrong: its dotted path, and what is wrong with it."""

    field: str
    message: str


class ZMQRuntimeError(Exception):
    """The root of every error that the ``zmqruntime`` packages raise on purpose.

    Its ``str`` is safe to print: where it quotes a peer or a task, all but line breaks and tabs is
    escaped by `printable`. Attributes hold the text as it came.
    """

    def __str__(self) -> str:
        return printable(super().__str__(), newline="\n")


class MessageError(ZMQRuntimeError):
    """A frame that cannot be taken as a message.

    ``code`` is what a server answers with, ``faults`` names each field at fault, and
    ``request_id`` is the sender's, where it could still be read.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        faults: tuple[FieldFault, ...] = (),
        request_id: str | None = None,
    ) -> None:
        # Both, so that it survives pickling: a process pool hands its errors on that way.
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.faults = faults
        self.request_id = request_id

    def __str__(self) -> str:
        return printable(self.message, newline="\n")


class DecodeError(MessageError):
    """The frame is not JSON, not an object, of no known type, or has a field at fault."""

    @classmethod
    def of_field(cls, what: str, field: str, reason: str) -> DecodeError:
        """Return the refusal of a ``what`` for one of its fields."""
        return cls(
            ErrorCode.INVALID_REQUEST,
            f"invalid {what}: {field}: {reason}",
            faults=(FieldFault(field, reason),),
        )

    @classmethod
    def of_part(cls, path: Sequence[int | str], root: str, problem: str) -> DecodeError:
        """Return the refusal of a value for one part of it, at ``path`` from ``root``."""
        from zmqruntime.messages.json_value import join_path  # Not above: it loads pydantic.

        field = join_path(path, root)
        return cls(
            ErrorCode.INVALID_REQUEST, f"{field} {problem}", faults=(FieldFault(field, problem),)
        )


class ProtocolVersionError(MessageError):
    """The message is written in a protocol version that this package does not speak."""
