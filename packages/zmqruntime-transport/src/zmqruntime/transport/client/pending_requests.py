"""Requests that were sent and have no reply yet, by request id."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from zmqruntime.messages import Reply
from zmqruntime.messages.lowlevel import Outgoing, encode_with_id
from zmqruntime.transport.errors import MessageTooLarge

__all__ = ["PendingRequests", "SentRequest"]


class SentRequest(NamedTuple):
    """A request in the form in which it was sent."""

    number: int
    """Its position among the requests of its exchange, from 0."""
    request: Outgoing
    frame: bytes


class PendingRequests:
    """The pending requests of one exchange, in the order in which they were sent.

    Args:
        ids: numbers for the ids of requests that have none.
        max_message_bytes: the longest frame that the server accepts.
    """

    def __init__(self, ids: Iterator[int], max_message_bytes: int) -> None:
        self._numbers = itertools.count()
        self._ids = ids
        self._max_message_bytes = max_message_bytes
        self._sent: dict[str, SentRequest] = {}

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def frames(self) -> list[bytes]:
        """The frames of all pending requests, oldest first."""
        return [sent.frame for sent in self._sent.values()]

    @property
    def oldest_type(self) -> str:
        """The message type of the oldest pending request."""
        return next(iter(self._sent.values())).request.type

    def add(self, request: Outgoing) -> bytes:
        """Add a request and return the frame to send.

        Raises:
            MessageTooLarge: the frame is longer than the server accepts.
            ValueError: a pending request has the same id.
        """
        request_id = request.request_id
        if request_id is None:
            request_id = f"#{next(self._ids)}"
            while request_id in self._sent:
                request_id = f"#{next(self._ids)}"
        elif request_id in self._sent:
            raise ValueError(
                f"duplicate request_id {request_id!r}: another request with it is pending; leave "
                "request_id out to have it generated"
            )
        frame = encode_with_id(request, request_id)
        if len(frame) > self._max_message_bytes:
            raise MessageTooLarge(
                f"the {request.type} request is {len(frame):,} bytes long and the server takes "
                f"{self._max_message_bytes:,}: send a path or a key instead of the data, or "
                "raise ZMQConfig(max_message_bytes=...) on both sides"
            )
        self._sent[request_id] = SentRequest(next(self._numbers), request, frame)
        return frame

    def match(self, reply: Reply) -> SentRequest | None:
        """Remove and return the request of a reply; None for a late or duplicate reply."""
        request_id = reply.request_id
        if request_id is None and self._sent:
            request_id = next(iter(self._sent))  # A server that does not return ids.
        return self._sent.pop(request_id or "", None)
