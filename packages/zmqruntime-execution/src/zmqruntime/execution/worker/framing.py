"""Message framing on a byte stream: body length, kind, name length, name, body.

Pure: bytes in, messages out, wherever the stream is cut.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = ["Message", "MessageReader", "encode_header", "encode_message"]

# Length of the body, kind, length of the name; native byte order, as both ends are on one machine.
_HEADER: Final = struct.Struct("=QcB")
_HEADER_BYTES: Final = _HEADER.size


class Message(NamedTuple):
    """One message on a link."""

    kind: bytes
    """One byte."""
    execution_id: str
    body: bytes


def encode_message(kind: bytes, execution_id: str = "", body: bytes = b"") -> bytes:
    """Return the frame of a message."""
    name = execution_id.encode()
    return _HEADER.pack(len(body), kind, len(name)) + name + body


def encode_header(kind: bytes, execution_id: str, body: bytes) -> bytes:
    """Return the part of a frame before the body."""
    name = execution_id.encode()
    return _HEADER.pack(len(body), kind, len(name)) + name


class MessageReader:
    """Decodes a byte stream into messages; an incomplete message is never returned.

    Args:
        max_bytes: limit of a body; None: unlimited.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._max_bytes = float("inf") if max_bytes is None else max_bytes
        self.error: str | None = None
        """Why the stream is invalid; no message behind that point is returned."""
        self._buffer = bytearray()
        self._needed = _HEADER_BYTES

    @property
    def missing(self) -> int:
        """How many bytes the current message lacks, as far as they are known."""
        return self._needed - len(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that ``data`` completes."""
        if self._buffer:
            self._buffer += data
            if self.missing > 0:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        messages: list[Message] = []
        last_name, execution_id = b"", ""
        at, end = 0, len(data)
        self._needed = _HEADER_BYTES
        while self.error is None and end - at >= _HEADER_BYTES:
            size, kind, name_size = _HEADER.unpack_from(data, at)
            name_at = at + _HEADER_BYTES
            body_at = name_at + name_size
            next_at: int = body_at + size
            if size > self._max_bytes:
                self.error = f"a message of {size:,} bytes exceeds {self._max_bytes:,} bytes"
            elif next_at > end:
                self._needed = next_at - at
                break
            elif not (name := data[name_at:body_at]).isascii():
                self.error = f"invalid execution id {name!r}"
            else:
                if name != last_name:  # Mostly equal: decoded once per run of messages.
                    last_name, execution_id = name, name.decode()
                messages.append(Message(kind, execution_id, data[body_at:next_at]))
                at = next_at
        if at < end and not self.error:
            self._buffer += data[at:]
        return messages
