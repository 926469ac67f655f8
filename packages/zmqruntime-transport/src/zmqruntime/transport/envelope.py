"""The frames around a request: how a reply finds its way back.

A ROUTER sees the peer's identity, whatever a REQ socket or a proxy put behind it, an empty
delimiter, then the body (RFC 28). What came before the body goes back as it came.
"""

from __future__ import annotations

from typing import NamedTuple

from zmqruntime.messages import DecodeError, ErrorCode

__all__ = ["MAX_FRAMES", "Caller", "split_envelope"]

MAX_FRAMES = 20
"""How many frames of one message are kept; further ones are dropped as they are received."""

# A server keeps the envelope of a request as long as it holds the reply. Each proxy adds one frame,
# a routing id, which has at most 255 bytes (ZMQ_ROUTING_ID).
_MAX_ENVELOPE_FRAMES = 16
_MAX_ENVELOPE_BYTES = 4096


class Caller(NamedTuple):
    """One request's sender: whom to answer, and under which of its request ids."""

    envelope: tuple[bytes, ...]
    request_id: str | None = None
    number: int = 0
    """Tells apart requests of one peer that gives them no ids."""

    @property
    def peer(self) -> bytes:
        """The connection by which the request came; empty for one that came by no socket."""
        return self.envelope[0] if self.envelope else b""


def split_envelope(frames: list[bytes]) -> tuple[tuple[bytes, ...], bytes | DecodeError]:
    """Return the envelope and the one body frame behind it, or why there is none."""
    if len(frames) == 3 and not frames[1]:
        return (frames[0], b""), frames[2]
    end = frames.index(b"", 1) + 1 if b"" in frames[1:] else 0
    if not end and len(frames) < MAX_FRAMES:
        return (frames[0],), DecodeError(
            ErrorCode.MALFORMED,
            "the empty delimiter frame is missing: use a REQ socket, or send an empty frame first",
        )
    if not 0 < end <= _MAX_ENVELOPE_FRAMES or sum(map(len, frames[:end])) > _MAX_ENVELOPE_BYTES:
        return (frames[0], b""), DecodeError(
            ErrorCode.MALFORMED,
            f"the envelope is too long: at most {_MAX_ENVELOPE_FRAMES} frames of together "
            f"{_MAX_ENVELOPE_BYTES:,} bytes are taken, the delimiter included",
        )
    body = frames[end:]
    if len(body) != 1:
        count = f"{len(body)} or more" if len(frames) >= MAX_FRAMES else f"{len(body)}"
        return tuple(frames[:end]), DecodeError(
            ErrorCode.MALFORMED, f"a request is one frame; this one has {count}"
        )
    return tuple(frames[:end]), body[0]
