"""The envelope of a request, by which its reply is routed back (RFC 28).

A ROUTER socket receives the routing id of the peer, then frames of a REQ socket or of proxies, an
empty delimiter, and the body. The reply repeats all frames before the body.
"""

from __future__ import annotations

from typing import NamedTuple

from zmqruntime.messages import DecodeError, ErrorCode

__all__ = ["MAX_FRAMES", "Caller", "split_envelope"]

MAX_FRAMES = 20
"""The frames of one message that are kept; further ones are received and dropped."""

# A server keeps the envelope while it holds the reply. Each proxy adds one frame, a routing id of
# at most 255 bytes (ZMQ_ROUTING_ID).
_MAX_ENVELOPE_FRAMES = 16
_MAX_ENVELOPE_BYTES = 4096


class Caller(NamedTuple):
    """The sender of one request: the envelope and request id for its reply."""

    envelope: tuple[bytes, ...]
    request_id: str | None = None
    number: int = 0
    """Distinguishes requests of one peer without request ids."""

    @property
    def peer(self) -> bytes:
        """The routing id of the connection; empty for a request without a socket."""
        return self.envelope[0] if self.envelope else b""


def split_envelope(frames: list[bytes]) -> tuple[tuple[bytes, ...], bytes | DecodeError]:
    """Return the envelope, and the body frame or the error of an invalid message."""
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
