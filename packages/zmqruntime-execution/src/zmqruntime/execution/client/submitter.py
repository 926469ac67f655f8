"""Submits requests: retries them when a lost server returns, cancels them after an error."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from zmqruntime.execution.client.wait import seconds_beside
from zmqruntime.execution.errors import rejection
from zmqruntime.messages import (
    AcceptedReply,
    CancelRequest,
    ErrorReply,
    ExecutionId,
    ExecutionRecord,
    Reply,
)
from zmqruntime.messages.lowlevel import Outgoing, PreparedRequest
from zmqruntime.transport import NotConnected, RequestTimeout, ServerLost, TransportError, ZMQClient
from zmqruntime.transport.lowlevel import Deadline

__all__ = ["Submitter", "expect"]

_log = logging.getLogger("zmqruntime.client")

_MAX_LOSSES = 2
"""How many losses in a row, without a reply in between, are retried."""

_R = TypeVar("_R", bound=Reply)


class Outlast(Protocol):
    """Returns when a lost server has returned; raises the error if it has not in time."""

    def __call__(
        self, error: ServerLost | RequestTimeout, deadline: Deadline | None = None, /
    ) -> None: ...


class MakeRequest(Protocol):
    """Builds the request for one task: with a new id, or with a given one for a retry."""

    def __call__(
        self, *, execution_id: ExecutionId | None = None, wait_seconds: float = 0.0
    ) -> PreparedRequest: ...


class Submitter:
    """Submits requests of one client.

    Args:
        client: a connected client.
        outlast: waits for a lost server.
    """

    def __init__(self, client: ZMQClient, outlast: Outlast) -> None:
        self._client = client
        self._outlast = outlast

    def submit_held(
        self, make_request: MakeRequest, hold: float, deadline: Deadline
    ) -> tuple[ExecutionId, ExecutionRecord | None]:
        """Submit one task; return its id and its record, final or as it is after the hold.

        The record is None if the reply has none, or a lost server was restarted without a journal.

        Args:
            make_request: builds the request, and the same again for a retry.
            hold: how long the server holds its reply; a retry is not held.
            deadline: limits the wait for a lost server.
        """
        request = make_request(wait_seconds=hold)
        execution_id = request.execution_id
        assert execution_id is not None
        while True:
            server = self._client.pong.process
            try:
                beside = seconds_beside(deadline, hold)
                reply = self._client.request(request, beside, hold=hold)
                return execution_id, expect(AcceptedReply, reply).execution
            except (ServerLost, RequestTimeout) as error:
                self._outlast(error, deadline)
            # The server recognizes an id that it has accepted, so a retry is safe.
            if not self._client.pong.durable and self._client.pong.process != server:
                return execution_id, None
            request, hold = make_request(execution_id=execution_id), 0.0

    def submit_all(self, requests: Sequence[PreparedRequest]) -> None:
        """Submit all requests; on an error, cancel the accepted ones and raise."""
        pipeline = _SubmissionPipeline(self._client, requests)
        try:
            for _ in pipeline.replies():
                pass
        except BaseException:
            self._cancel_all(pipeline.sent)
            raise

    def follow_all(
        self, requests: Iterable[PreparedRequest], hold: float, window: int
    ) -> Generator[tuple[PreparedRequest, ExecutionRecord | None], None, None]:
        """Submit requests as the window has room, and yield each with its record.

        The record is final, or that after ``hold`` seconds; None if the reply has none. When a
        lost server has returned, unanswered requests are sent again; after too many losses in a
        row without a reply in between, the last one is raised.

        After a refusal, and when the iterator is closed early, those without a reply are
        cancelled; not when the server was lost.
        """
        pipeline = _SubmissionPipeline(self._client, requests)
        losses = 0
        try:
            while True:
                server = self._client.pong.process
                try:
                    with contextlib.closing(pipeline.replies(hold, window)) as replies:
                        for request, record in replies:
                            losses = 0
                            pipeline.sent.pop(request.execution_id or "")
                            yield request, record
                except (ServerLost, RequestTimeout) as error:
                    losses += 1
                    if losses > _MAX_LOSSES:
                        raise
                    self._outlast(error)
                    pong = self._client.pong
                    if not pong.durable and pong.process != server:
                        raise
                else:
                    return
        except (ServerLost, RequestTimeout, NotConnected):
            raise
        except BaseException:
            self._cancel_all(pipeline.sent)
            raise

    def _cancel_all(self, sent: Iterable[str]) -> None:
        """Cancel requests over a new connection, when theirs is broken."""
        cancels = [CancelRequest(execution_id=name) for name in reversed(list(sent))]
        if not cancels:
            return
        try:
            for _ in self._client.pipeline(cancels):
                pass  # A refusal means that it was not accepted, or has ended.
        except TransportError as error:
            _log.warning("failed submission not cancelled completely: %s", error)


class _SubmissionPipeline:
    """Pipelined execute requests, followed by their cancels if one of them fails.

    The cancels use the same connection, so that none overtakes its request.

    Args:
        client: a connected client.
        requests: the requests to submit.
    """

    def __init__(self, client: ZMQClient, requests: Iterable[PreparedRequest]) -> None:
        self.sent: dict[str, PreparedRequest] = {}
        """The sent requests that an error would cancel."""
        self._client = client
        self._pending = iter(requests)
        self._failure: BaseException | None = None

    def replies(
        self, hold: float = 0.0, window: int = 64
    ) -> Generator[tuple[PreparedRequest, ExecutionRecord | None], None, None]:
        """Yield the accepted requests, with their records.

        After a refusal, an error of the source or the close of the iterator, the sent requests are
        cancelled before the error is raised.
        """
        replies = self._client.pipeline(self._requests(), hold=hold, window=window)
        with contextlib.closing(replies):
            for request, reply in replies:
                assert isinstance(request, PreparedRequest | CancelRequest)
                if isinstance(request, CancelRequest) or isinstance(reply, ErrorReply):
                    self.sent.pop(request.execution_id or "", None)
                if isinstance(request, PreparedRequest) and self._failure is None:
                    try:
                        yield request, expect(AcceptedReply, reply).execution
                    except BaseException as error:  # noqa: BLE001 - raised below
                        self._failure = error
                # Do not wait for the tasks to end: one may ignore its cancel.
                if self._failure is not None and not self.sent:
                    break
        if self._failure is not None:
            raise self._failure

    def _requests(self) -> Iterator[Outgoing | None]:
        yield from tuple(self.sent.values())  # Again, after a loss.
        while (request := self._take()) is not None:
            self.sent[request.execution_id or ""] = request
            yield request
        while self._failure is None:
            yield None  # Wait for the next reply: it may be a refusal.
        # The last first, so that none of them starts in between.
        for name in reversed(tuple(self.sent)):
            if name in self.sent:
                yield CancelRequest(execution_id=name)

    def _take(self) -> PreparedRequest | None:
        """Return the next request to send; None at the end or after a failure."""
        if self._failure is not None:
            return None
        try:
            return next(self._pending, None)
        except BaseException as error:  # noqa: BLE001 - raised after the cancels
            self._failure = error
            return None


def expect(expected: type[_R], reply: Reply) -> _R:
    """Return a reply of the expected type; raise an error reply as its exception."""
    if isinstance(reply, ErrorReply):
        raise rejection(reply)
    if not isinstance(reply, expected):
        raise TransportError(f"unexpected reply of type {reply.type}")
    return reply
