"""Asking a server for events that a subscriber has missed."""

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

__all__ = ["MissedEvents"]

_log = logging.getLogger("zmqruntime.client")

# Requests under way together, as those of a client that submits many.
_CHUNK = 64
# Meanwhile further events wait, and in the end are missed as well.
_PATIENCE_SECONDS = 3.0


class MissedEvents:
    """The events that a client's server still keeps. What it cannot tell stays missed."""

    def __init__(self, client: ZMQClient) -> None:
        self._client = client

    def ask(self, execution_id: str, after_sequence: int) -> list[ProgressEvent | StateEvent]:
        """Return what is kept of an execution behind a number, up to its latest event now.

        Raises:
            DecodeError: the id is none.
        """
        request = _make(execution_id, after_sequence)
        try:
            reply = self._client.request(request, _PATIENCE_SECONDS)
            return self._complete(reply) if isinstance(reply, KeptEventsReply) else []
        except ZMQRuntimeError as error:
            _log.info(
                "events of execution %s that were missed could not be asked for: %s",
                execution_id,
                error,
                extra={"execution_id": execution_id},
            )
            return []

    def ask_many(
        self, executions: Sequence[tuple[str, int]]
    ) -> Iterator[tuple[str, KeptEventsReply | None]]:
        """Yield for each execution what is kept of it behind a number; None: it is not kept.

        Raises:
            ZMQRuntimeError: the server did not answer.
        """
        for start in range(0, len(executions), _CHUNK):
            chunk = executions[start : start + _CHUNK]
            replies = self._client.exchange([_make(*execution) for execution in chunk])
            for (execution_id, _), reply in zip(chunk, replies, strict=True):
                if isinstance(reply, KeptEventsReply):
                    events = tuple(self._complete(reply))
                    yield execution_id, reply.model_copy(update={"events": events})
                else:
                    yield execution_id, None

    def _complete(self, first: KeptEventsReply) -> list[ProgressEvent | StateEvent]:
        """Return the events of a reply, and of those behind it, to the end that it names."""
        events = list(first.events)
        reply: object = first
        while isinstance(reply, KeptEventsReply) and reply.events:
            if events[-1].sequence >= first.last_sequence:
                break
            request = _make(first.execution_id, events[-1].sequence)
            reply = self._client.request(request, _PATIENCE_SECONDS)
            if isinstance(reply, KeptEventsReply):
                events += reply.events
        return events


def _make(execution_id: str, after_sequence: int) -> EventsRequest:
    with decode_errors("events request"):
        return EventsRequest(
            execution_id=execution_id, after_sequence=after_sequence, limit=MAX_LIMIT
        )
