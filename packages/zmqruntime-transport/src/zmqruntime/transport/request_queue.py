"""Requests on their way: those that may still go out, and those that wait for their replies."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from zmqruntime.messages import Reply, Request, encode_with_id
from zmqruntime.transport.errors import MessageTooLarge

__all__ = ["RequestQueue"]


class RequestQueue:
    """Takes requests as there is room for them, and matches the replies.

    Args:
        requests: what to ask; numbered from 0. None: nothing until the next reply.
        ids: the numbers of which to make ids for those that have none.
        window: how many may be under way, 1 or more.
        max_message_bytes: how long one may be.
    """

    def __init__(
        self,
        requests: Iterable[Request | None],
        ids: Iterator[int],
        window: int,
        max_message_bytes: int,
    ) -> None:
        self._requests = iter(requests)
        self._numbers = itertools.count()
        self._ids = ids
        self._window = window
        self._max_message_bytes = max_message_bytes
        self._is_exhausted = False
        self._pending: dict[str, tuple[int, str, bytes]] = {}

    @property
    def done(self) -> bool:
        """Whether every request has its reply."""
        return self._is_exhausted and not self._pending

    @property
    def under_way(self) -> int:
        """How many wait for a reply."""
        return len(self._pending)

    @property
    def unanswered(self) -> list[bytes]:
        """The frames of those, in the order in which they were asked."""
        return [frame for _, _, frame in self._pending.values()]

    @property
    def first(self) -> str:
        """The type of the one that has waited longest."""
        return next(iter(self._pending.values()))[1]

    @property
    def has_room(self) -> bool:
        """Whether a further one may go out, if there is one."""
        return len(self._pending) < self._window and not self._is_exhausted

    def take(self) -> bytes | None:
        """Return the frame of the next one; None when there is none, or none yet.

        Raises:
            MessageTooLarge: it is longer than the server takes.
            ValueError: it has the id of another that is under way.
        """
        try:
            request = next(self._requests)
        except StopIteration:
            request = None
            self._is_exhausted = True
        if request is None:
            self._is_exhausted |= not self._pending  # No reply will come that it waits for.
            return None
        return self._add(next(self._numbers), request)

    def take_all(self, replies: Iterable[Reply]) -> Iterator[tuple[int, Reply]]:
        """Yield each reply with the number of its request; one to none of them is ignored."""
        for reply in replies:
            request_id = reply.request_id
            if request_id is None and self._pending:
                request_id = next(iter(self._pending))  # A server that keeps the id to itself.
            entry = self._pending.pop(request_id or "", None)
            if entry is not None:
                yield entry[0], reply

    def _add(self, number: int, request: Request) -> bytes:
        request_id = request.request_id
        if request_id is None:
            made = (f"#{number}" for number in self._ids)
            request_id = next(name for name in made if name not in self._pending)
        elif request_id in self._pending:
            raise ValueError("two requests have one request_id; leave it out to have them made")
        frame = encode_with_id(request, request_id)
        if len(frame) > self._max_message_bytes:
            raise MessageTooLarge(
                f"the {request.type} request is {len(frame):,} bytes long and the server takes "
                f"{self._max_message_bytes:,}: send a path or a key instead of the data, or "
                "raise ZMQConfig(max_message_bytes=...) on both sides"
            )
        self._pending[request_id] = number, request.type, frame
        return frame
