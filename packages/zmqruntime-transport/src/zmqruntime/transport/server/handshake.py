"""Registration handshake: a registration is acknowledged when its subscription has arrived."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from zmqruntime.messages import (
    ClientId,
    ErrorCode,
    ErrorReply,
    OkReply,
    RegisterProgressRequest,
    UnregisterProgressRequest,
)
from zmqruntime.transport.envelope import Caller
from zmqruntime.transport.loop import Loop
from zmqruntime.transport.server.fair_share import FairShare
from zmqruntime.transport.server.registration import Registrations

if TYPE_CHECKING:
    from zmqruntime.messages import Reply

__all__ = ["MAX_LISTED", "MAX_WAITING", "RegistrationHandshake"]

MAX_LISTED = 100
"""Bound of the registered clients that a reply lists; it also has their number."""
MAX_WAITING = 1000
"""Registrations that may wait for their subscription together; a single peer gets half."""

# Registrations that are refused in one round of the loop.
_MAX_EXPIRED_AT_ONCE = 100


class RegistrationHandshake:
    """Replies to each registration when its subscription has arrived, or its timeout has passed.

    Args:
        loop: the server's.
        timeout: how long a registration waits, in seconds.
        data_port: the data port, for the error of a missing subscription.
        reply: sends the reply to a request.
    """

    def __init__(
        self,
        loop: Loop,
        timeout: float,
        data_port: int,
        reply: Callable[[Caller, Reply], None],
    ) -> None:
        self.registrations = Registrations()
        self._loop = loop
        self._timeout = timeout
        self._data_port = data_port
        self._reply = reply
        # One timeout for all, so they expire in the order of arrival.
        self._waits: dict[Caller, tuple[float, ClientId]] = {}
        self._share = FairShare(MAX_WAITING, MAX_WAITING)
        self._timer_is_set = False

    def register(self, request: RegisterProgressRequest, caller: Caller) -> None:
        """Register a client and acknowledge it, now or when its subscription arrives."""
        client_id = request.client_id
        if self.registrations.register(client_id, request.scope, caller):
            self._acknowledge(caller, client_id)
        elif self._share.room(caller.peer) > 0:
            self._share.take(caller.peer, 1)
            self._waits[caller] = time.monotonic() + self._timeout, client_id
            self._set_timer()
        else:
            own, total = self._share.used(caller.peer), self._share.total
            when = f"while {total} registrations wait, {own} of them of this connection"
            self._expire(caller, client_id, when)

    def unregister(self, request: UnregisterProgressRequest, caller: Caller) -> None:
        """Unregister a client and acknowledge it."""
        self.registrations.unregister(request.client_id)
        self._acknowledge(caller, request.client_id)

    def apply(self, frame: bytes, times: int = 1) -> None:
        """Apply a frame of the XPUB socket; acknowledge the registrations that it completes."""
        for caller, client_id in self.registrations.apply(frame, times):
            self._end_wait(caller)
            self._acknowledge(caller, client_id)

    def refuse_waiting(self) -> None:
        """Refuse all registrations that wait, at the end of the server."""
        for caller in self.registrations.waiting:
            self._end_wait(caller)
            self.registrations.cancel_wait(caller)
            self._refuse(caller, ErrorCode.SHUTTING_DOWN, "the server is shutting down")

    def _end_wait(self, caller: Caller) -> None:
        del self._waits[caller]
        self._share.release(caller.peer, 1)

    def _set_timer(self) -> None:
        if self._waits and not self._timer_is_set:
            self._timer_is_set = True
            due, _ = next(iter(self._waits.values()))
            self._loop.call_at(due, self._expire_due)

    def _expire_due(self) -> None:
        now = time.monotonic()
        for caller, (due, client_id) in tuple(islice(self._waits.items(), _MAX_EXPIRED_AT_ONCE)):
            if due > now:
                break
            self._end_wait(caller)
            self._expire(caller, client_id, f"within {self._timeout:g} s")
        else:
            if self._waits:
                self._loop.post(self._expire_due)  # Further ones may be due.
                return
        self._timer_is_set = False
        self._set_timer()

    def _expire(self, caller: Caller, client_id: ClientId, when: str) -> None:
        if self.registrations.cancel_wait(caller):
            self._acknowledge(caller, client_id)
            return
        self._refuse(
            caller,
            ErrorCode.NOT_SUBSCRIBED,
            f"no new subscription to '{client_id}/' was seen {when}: connect a SUB socket to the "
            f"data port {self._data_port} and subscribe first",
        )

    def _refuse(self, caller: Caller, code: ErrorCode, message: str) -> None:
        self._reply(caller, ErrorReply(code=code, message=message))

    def _acknowledge(self, caller: Caller, client_id: ClientId) -> None:
        self._reply(
            caller,
            OkReply(
                client_id=client_id,
                progress_subscribers=self.registrations.list_clients(MAX_LISTED),
                progress_subscriber_count=self.registrations.client_count,
            ),
        )
