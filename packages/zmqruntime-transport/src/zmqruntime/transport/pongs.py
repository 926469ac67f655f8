"""What a server says of itself, encoded again only where it has changed."""

from __future__ import annotations

import time
from typing import Any

from zmqruntime.messages import DecodeError, PongReply, encode, encode_json

__all__ = ["Pongs"]

_CHANGES_ALWAYS = {"request_id", "uptime_seconds"}


class Pongs:
    """Composes the pongs of one server, which began now.

    Args:
        fixed: the fields of a `PongReply` that stay as they are.
    """

    def __init__(self, **fixed: Any) -> None:
        self._fixed = fixed
        self._started_at = time.time()
        self._told: object = None
        self._rest = b""

    def compose(self, request_id: str | None, told: dict[str, Any]) -> bytes:
        """Return the reply to a ping.

        Args:
            request_id: the ping's.
            told: the other fields, as they are now.

        Raises:
            TypeError: the application's ``details`` are not JSON; the error names the part.
        """
        # The application may change what it has given before: of that, what is written counts.
        now = _encode(told["details"]), told
        if now != self._told:
            reply = PongReply(
                started_at=self._started_at, uptime_seconds=0.0, **self._fixed, **told
            )
            self._rest = encode(reply, _CHANGES_ALWAYS)[1:]
            self._told = now
        uptime = max(0.0, time.time() - self._started_at)
        head = b'{"request_id":%b,"uptime_seconds":%a,'
        return head % (encode_json(request_id), uptime) + self._rest


def _encode(details: object) -> bytes:
    try:
        return encode_json(details, "details")
    except DecodeError as error:
        raise TypeError(error.message) from None  # No fault of the ping's.
