"""Many requests to execute, sent one behind the other, and what becomes of them on the way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeVar

from zmqruntime.execution.errors import rejection
from zmqruntime.messages import (
    AcceptedReply,
    CancelRequest,
    ErrorReply,
    ExecuteRequest,
    ExecutionRecord,
    Reply,
)
from zmqruntime.transport import (
    NotConnected,
    RequestTimeout,
    ServerLost,
    TransportError,
    ZMQClient,
)

__all__ = ["Submitter", "expect"]

_log = logging.getLogger("zmqruntime.client")

_R = TypeVar("_R", bound=Reply)

Outlast = Callable[[ServerLost | RequestTimeout], None]
"""Returns when a lost server is back; else raises the error."""


class Submitter:
    """Submits for one client.

    Args:
        client: a connected client.
        outlast: waits for a server that was lost.
    """

    def __init__(self, client: ZMQClient, outlast: Outlast) -> None:
        self._client = client
        self._outlast = outlast

    def submit_all(self, requests: Sequence[ExecuteRequest]) -> None:
        """Have the server accept all of these; or cancel those that it has, and raise why."""
        try:
            for _, reply in self._client.pipeline(requests):
                expect(AcceptedReply, reply)
        except BaseException:
            self.take_back(requests)
            raise

    def follow_all(
        self, requests: Iterable[ExecuteRequest], hold: float, window: int
    ) -> Generator[tuple[ExecuteRequest, ExecutionRecord | None], None, None]:
        """Submit requests as there is room for them, and yield each with its record.

        The record is that of its end, or of ``hold`` seconds later when it takes longer; None
        where the server tells none. A server that is lost and comes back is asked again.

        When it refuses one, or the iterator is closed early, those that wait for their replies
        are cancelled; not when it was lost.
        """
        under_way: dict[str, ExecuteRequest] = {}
        pending = iter(requests)

        def next_ones() -> Iterator[ExecuteRequest]:
            yield from tuple(under_way.values())  # Once more, after a loss.
            for request in pending:
                under_way[request.execution_id or ""] = request
                yield request

        try:
            while True:
                server = self._client.pong.process
                try:
                    for request, reply in self._client.pipeline(
                        next_ones(), hold=hold, window=window
                    ):
                        record = expect(AcceptedReply, reply).execution
                        assert isinstance(request, ExecuteRequest)
                        del under_way[request.execution_id or ""]
                        yield request, record
                except (ServerLost, RequestTimeout) as error:
                    self._outlast(error)
                    pong = self._client.pong
                    if not pong.durable and pong.process != server:
                        raise
                else:
                    return
        except (ServerLost, RequestTimeout, NotConnected):
            raise
        except BaseException:
            self.take_back(list(under_way.values()))
            raise

    def take_back(self, sent: Sequence[ExecuteRequest]) -> None:
        """Cancel what of these the server accepted; also what it did not get to say it did."""
        # From the end, so that none of them gets its turn meanwhile.
        cancels = (
            CancelRequest(execution_id=request.execution_id)
            for request in reversed(sent)
            if request.execution_id is not None
        )
        try:
            for _ in self._client.pipeline(cancels):
                pass  # Refused for those that it does not have, or that ended.
        except TransportError as error:
            _log.warning("not all of a failed submission was cancelled: %s", error)


def expect(expected: type[_R], reply: Reply) -> _R:
    """Return a reply of the kind that was asked for; raise what another one says."""
    if isinstance(reply, ErrorReply):
        raise rejection(reply)
    if not isinstance(reply, expected):
        raise TransportError(f"the server answered with a {reply.type}")
    return reply
