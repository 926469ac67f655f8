"""Pings a server that a client is about to use, until it is ready."""

from __future__ import annotations

from zmqruntime.messages import MAX_WAIT_SECONDS, ErrorReply, MessageError, PingRequest, PongReply
from zmqruntime.transport.client.blocking_exchange import Check, Requester
from zmqruntime.transport.client.exchange import RequestLimits
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.errors import ConnectionFailed, RequestTimeout

__all__ = ["NotListening", "ServerEnded", "ping"]

# The share of the remaining time for which the server holds its reply: a slow reply still arrives.
_HELD_PART = 0.5


class NotListening(Exception):
    """The connection was refused: the one case in which a launch makes sense."""


class ServerEnded(NotListening):
    """A server was found, and ended because its worker could not start; names the reason."""


def ping(requester: Requester, deadline: Deadline, check: Check, *, wait_ready: bool) -> PongReply:
    """Return the pong of a server.

    Args:
        requester: sends the pings.
        deadline: for all of it.
        check: called when a connection is refused or closed; may raise `NotListening`.
        wait_ready: whether to wait until the server is ready.

    Raises:
        ConnectionFailed: no server listens there, or the peer is not one.
        RequestTimeout: no pong, or the server is not ready, in time.
        ServerEnded: the server reported an error of its worker, and ended.
    """
    pong: PongReply | None = None
    while True:
        hold = min(_HELD_PART * deadline.remaining, MAX_WAIT_SECONDS) if wait_ready else 0.0
        request = PingRequest(limit=0, wait_seconds=hold)
        try:
            with requester.open(RequestLimits.until(deadline, hold), check=check) as exchange:
                reply = exchange.request(request)
        except MessageError as error:
            raise ConnectionFailed(
                f"the peer at {requester.endpoint} is not a zmqruntime server: {error}"
            ) from None
        except RequestTimeout:
            if pong is None:
                raise
            raise _make_timeout(pong) from None
        except NotListening:
            if pong is None or pong.worker_error is None:
                raise
            raise ServerEnded(
                f"the server {pong.server} (process {pong.process.pid}) ended before it was "
                f"ready: {pong.worker_error}"
            ) from None
        if not isinstance(reply, PongReply):
            reason = reply.message if isinstance(reply, ErrorReply) else f"a reply {reply.type}"
            raise ConnectionFailed(
                f"the peer at {requester.endpoint} has replied to a ping with an error: {reason}"
            )
        if reply.ready or not wait_ready:
            return reply
        if deadline.expired:
            raise _make_timeout(reply)
        pong = reply


def _make_timeout(pong: PongReply) -> RequestTimeout:
    reason = f": {pong.worker_error}" if pong.worker_error else ""
    return RequestTimeout(
        f"the server {pong.server} (process {pong.process.pid}) was not ready in time{reason}"
    )
