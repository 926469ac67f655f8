"""How messages follow one another through a stream of bytes: a length, a kind, a name, a body.

Pure: bytes in, messages out, wherever the stream was cut.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = ["Message", "MessageReader", "encode_head", "encode_message"]

# The length of the body, the kind, the length of the name. Both ends are of one machine.
_HEAD: Final = struct.Struct("=QcB")
_HEAD_BYTES: Final = _HEAD.size


class Message(NamedTuple):
    """What one end says to the other."""

    kind: bytes
    """One byte."""
    execution_id: str
    body: bytes


def encode_message(kind: bytes, execution_id: str = "", body: bytes = b"") -> bytes:
    """Return a message as it goes into the stream."""
    name = execution_id.encode()
    return _HEAD.pack(len(body), kind, len(name)) + name + body


def encode_head(kind: bytes, execution_id: str, body: bytes) -> bytes:
    """Return what goes into the stream before the body of a message."""
    name = execution_id.encode()
    return _HEAD.pack(len(body), kind, len(name)) + name


class MessageReader:
    """Cuts a stream into messages. One that never comes to its end is never told.

    Args:
        max_bytes: how long the body of one may be; None: as long as it likes.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._max_bytes = float("inf") if max_bytes is None else max_bytes
        self.broken: str | None = None
        """Why what comes is no stream of messages any more; nothing behind that is told."""
        self._rest = bytearray()
        self._needed = _HEAD_BYTES

    @property
    def missing(self) -> int:
        """How many bytes the message at hand lacks, as far as that is known."""
        return self._needed - len(self._rest)

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that come to their end in ``data``."""
        if self._rest:
            self._rest += data
            if self.missing > 0:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        messages: list[Message] = []
        named, execution_id = b"", ""
        at, end = 0, len(data)
        self._needed = _HEAD_BYTES
        while self.broken is None and end - at >= _HEAD_BYTES:
            size, kind, name_size = _HEAD.unpack_from(data, at)
            name_at = at + _HEAD_BYTES
            body_at = name_at + name_size
            next_at: int = body_at + size
            if size > self._max_bytes:
                self.broken = f"a message of {size:,} bytes"
            elif next_at > end:
                self._needed = next_at - at
                break
            elif not (name := data[name_at:body_at]).isascii():
                self.broken = f"{name!r} is no name of an execution"
            else:
                if name != named:  # It most often is the last one's.
                    named, execution_id = name, name.decode()
                messages.append(Message(kind, execution_id, data[body_at:next_at]))
                at = next_at
        if at < end and not self.broken:
            self._rest += data[at:]
        return messages
