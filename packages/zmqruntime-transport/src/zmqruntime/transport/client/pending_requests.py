"""Requests on their way, until their replies are here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from zmqruntime.messages import Reply
from zmqruntime.messages.lowlevel import Outgoing, encode_with_id
from zmqruntime.transport.errors import MessageTooLarge

__all__ = ["Sent", "Unanswered"]


class Sent(NamedTuple):
    """A request as it went out."""

    number: int
    """The order of asking, from 0."""
    request: Outgoing
    frame: bytes


class Unanswered:
    """The requests of one call that are under way, by their ids.

    Args:
        ids: the numbers of which to make ids for those that have none.
        max_message_bytes: how long one may be.
    """

    def __init__(self, ids: Iterator[int], max_message_bytes: int) -> None:
        self._numbers = itertools.count()
        self._ids = ids
        self._max_message_bytes = max_message_bytes
        self._sent: dict[str, Sent] = {}

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def frames(self) -> list[bytes]:
        """What was sent, in the order of asking."""
        return [sent.frame for sent in self._sent.values()]

    @property
    def first(self) -> str:
        """The type of the one that has waited longest."""
        return next(iter(self._sent.values())).request.type

    def add(self, request: Outgoing) -> bytes:
        """Return the frame in which a request goes out.

        Raises:
            MessageTooLarge: it is longer than the server takes.
            ValueError: it has the id of another that is under way.
        """
        request_id = request.request_id
        if request_id is None:
            request_id = f"#{next(self._ids)}"
            while request_id in self._sent:
                request_id = f"#{next(self._ids)}"
        elif request_id in self._sent:
            raise ValueError("two requests have one request_id; leave it out to have them made")
        frame = encode_with_id(request, request_id)
        if len(frame) > self._max_message_bytes:
            raise MessageTooLarge(
                f"the {request.type} request is {len(frame):,} bytes long and the server takes "
                f"{self._max_message_bytes:,}: send a path or a key instead of the data, or "
                "raise ZMQConfig(max_message_bytes=...) on both sides"
            )
        self._sent[request_id] = Sent(next(self._numbers), request, frame)
        return frame

    def match(self, reply: Reply) -> Sent | None:
        """Return what a reply answers, which is under way no more; None: nothing of this call."""
        request_id = reply.request_id
        if request_id is None and self._sent:
            request_id = next(iter(self._sent))  # A server that keeps the id to itself.
        return self._sent.pop(request_id or "", None)
