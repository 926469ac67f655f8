"""Replay of missed events, which a server keeps for its subscribers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from zmqruntime.messages import (
    MAX_LIMIT,
    EventsRequest,
    KeptEventsReply,
    ProgressEvent,
    StateEvent,
    ZMQRuntimeError,
)
from zmqruntime.messages.lowlevel import decode_errors
from zmqruntime.transport import ZMQClient

__all__ = ["EventReplay"]

_log = logging.getLogger("zmqruntime.client")

# Requests outstanding together, as many as those of `submit_many`.
_CHUNK = 64
# Published events queue up while the subscriber waits, and are dropped beyond its high-water mark.
_TIMEOUT_SECONDS = 3.0


class EventReplay:
    """Fetches the events of executions that a client's server has kept."""

    def __init__(self, client: ZMQClient) -> None:
        self._client = client

    def fetch(self, execution_id: str, after_sequence: int) -> list[ProgressEvent | StateEvent]:
        """Return the kept events of one execution behind a number, up to its latest.

        None of them when the server refuses or does not reply.

        Raises:
            DecodeError: the id is invalid.
        """
        request = _make(execution_id, after_sequence)
        try:
            reply = self._client.request(request, _TIMEOUT_SECONDS)
            return self._fetch_rest(reply) if isinstance(reply, KeptEventsReply) else []
        except ZMQRuntimeError as error:
            _log.info(
                "missed events of execution %s not replayed: %s",
                execution_id,
                error,
                extra={"execution_id": execution_id},
            )
            return []

    def fetch_many(
        self, executions: Sequence[tuple[str, int]]
    ) -> Iterator[tuple[str, KeptEventsReply | None]]:
        """Yield each id with its kept events behind a number; None for an unknown execution.

        Raises:
            ZMQRuntimeError: the server did not reply.
        """
        for start in range(0, len(executions), _CHUNK):
            chunk = executions[start : start + _CHUNK]
            replies = self._client.exchange([_make(*execution) for execution in chunk])
            for (execution_id, _), reply in zip(chunk, replies, strict=True):
                if isinstance(reply, KeptEventsReply):
                    events = tuple(self._fetch_rest(reply))
                    yield execution_id, reply.model_copy(update={"events": events})
                else:
                    yield execution_id, None

    def _fetch_rest(self, first: KeptEventsReply) -> list[ProgressEvent | StateEvent]:
        """Return the events of a reply and of its further pages, up to its ``last_sequence``."""
        events = list(first.events)
        reply: object = first
        while isinstance(reply, KeptEventsReply) and reply.events:
            if events[-1].sequence >= first.last_sequence:
                break
            request = _make(first.execution_id, events[-1].sequence)
            reply = self._client.request(request, _TIMEOUT_SECONDS)
            if isinstance(reply, KeptEventsReply):
                events += reply.events
        return events


def _make(execution_id: str, after_sequence: int) -> EventsRequest:
    with decode_errors("events request"):
        return EventsRequest(
            execution_id=execution_id, after_sequence=after_sequence, limit=MAX_LIMIT
        )
