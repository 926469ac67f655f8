"""Requests to execute, one or many behind each other, and what becomes of them on the way."""

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
from zmqruntime.transport import (
    Deadline,
    NotConnected,
    RequestTimeout,
    ServerLost,
    TransportError,
    ZMQClient,
)

__all__ = ["Submitter", "expect"]

_log = logging.getLogger("zmqruntime.client")

_MAX_LOSSES = 2
"""How often in a row a server may be lost, without an answer in between, and be asked again."""

_R = TypeVar("_R", bound=Reply)


class Outlast(Protocol):
    """Returns when a lost server is back; raises the error when it is not in time."""

    def __call__(
        self, error: ServerLost | RequestTimeout, deadline: Deadline | None = None, /
    ) -> None: ...


class MakeRequest(Protocol):
    """Makes a request for one task: under a new name, or under that of an earlier one."""

    def __call__(
        self, *, execution_id: ExecutionId | None = None, wait_seconds: float = 0.0
    ) -> PreparedRequest: ...


class Submitter:
    """Submits for one client.

    Args:
        client: a connected client.
        outlast: waits for a server that was lost.
    """

    def __init__(self, client: ZMQClient, outlast: Outlast) -> None:
        self._client = client
        self._outlast = outlast

    def submit_held(
        self, make_request: MakeRequest, hold: float, deadline: Deadline
    ) -> tuple[ExecutionId, ExecutionRecord | None]:
        """Submit one task, and return its name and the record of its end, or of its way there.

        The record is None when there is none, or another server that does not know of it.

        Args:
            make_request: makes what is asked, and the same again.
            hold: how long the server is asked to hold its reply; not so one that is back.
            deadline: the end of the wait for a lost one.
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
            # It knows what it has accepted, so asking again is safe.
            if not self._client.pong.durable and self._client.pong.process != server:
                return execution_id, None
            request, hold = make_request(execution_id=execution_id), 0.0

    def submit_all(self, requests: Sequence[PreparedRequest]) -> None:
        """Have the server accept all of these; or cancel those that it has, and raise why."""
        course = _Course(self._client, requests)
        try:
            for _ in course.replies():
                pass
        except BaseException:
            self._take_back(course.sent)
            raise

    def follow_all(
        self, requests: Iterable[PreparedRequest], hold: float, window: int
    ) -> Generator[tuple[PreparedRequest, ExecutionRecord | None], None, None]:
        """Submit requests as there is room for them, and yield each with its record.

        The record is that of its end, or of ``hold`` seconds later when it takes longer; None
        where the server tells none. A server that is lost and comes back is asked again; not for
        ever, when nothing is heard from it in between.

        When it refuses one, or the iterator is closed early, those that wait for their replies
        are cancelled; not when it was lost.
        """
        course = _Course(self._client, requests)
        losses = 0
        try:
            while True:
                server = self._client.pong.process
                try:
                    with contextlib.closing(course.replies(hold, window)) as replies:
                        for request, record in replies:
                            losses = 0
                            course.sent.pop(request.execution_id or "")
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
            self._take_back(course.sent)
            raise

    def _take_back(self, sent: Iterable[str]) -> None:
        """Cancel these on another connection, where theirs has broken."""
        cancels = [CancelRequest(execution_id=name) for name in reversed(list(sent))]
        if not cancels:
            return
        try:
            for _ in self._client.pipeline(cancels):
                pass  # Refused for those that it does not have, or that ended.
        except TransportError as error:
            _log.warning("not all of a failed submission was cancelled: %s", error)


class _Course:
    """Requests to execute on their way, and behind them their cancels, should it come to that.

    The cancels take the same connection, so that none overtakes what it cancels.

    Args:
        client: a connected client.
        requests: what to execute.
    """

    def __init__(self, client: ZMQClient, requests: Iterable[PreparedRequest]) -> None:
        self.sent: dict[str, PreparedRequest] = {}
        """What went out, as long as it is to be cancelled if anything fails."""
        self._client = client
        self._pending = iter(requests)
        self._failure: BaseException | None = None

    def replies(
        self, hold: float = 0.0, window: int = 64
    ) -> Generator[tuple[PreparedRequest, ExecutionRecord | None], None, None]:
        """Yield the requests that are accepted, with their records.

        When one is refused, the source fails or the iterator is closed, what was sent is cancelled
        before that is raised.
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
                # Not until the tasks have ended: one may not heed its cancel.
                if self._failure is not None and not self.sent:
                    break
        if self._failure is not None:
            raise self._failure

    def _requests(self) -> Iterator[Outgoing | None]:
        yield from tuple(self.sent.values())  # Once more, after a loss.
        while (request := self._take()) is not None:
            self.sent[request.execution_id or ""] = request
            yield request
        while self._failure is None:
            yield None  # The next reply may be a refusal.
        # From the end, so that none of them gets its turn meanwhile.
        for name in reversed(tuple(self.sent)):
            if name in self.sent:
                yield CancelRequest(execution_id=name)

    def _take(self) -> PreparedRequest | None:
        """Return the next one to send; None when there is none, or something has failed."""
        if self._failure is not None:
            return None
        try:
            return next(self._pending, None)
        except BaseException as error:  # noqa: BLE001 - raised when all is cancelled
            self._failure = error
            return None


def expect(expected: type[_R], reply: Reply) -> _R:
    """Return a reply of the kind that was asked for; raise what another one says."""
    if isinstance(reply, ErrorReply):
        raise rejection(reply)
    if not isinstance(reply, expected):
        raise TransportError(f"the server answered with a {reply.type}")
    return reply
