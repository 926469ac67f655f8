"""The registration handshake: no registration is acknowledged before its subscription is seen."""

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
"""How many registered clients a reply lists at most; their number is in it as well."""
MAX_WAITING = 1000
"""How many registrations may wait for their subscription at once; a peer alone: half of it."""

# Registrations that are refused in one round of the loop; the others are next round's.
_MAX_EXPIRED_AT_ONCE = 100


class RegistrationHandshake:
    """Answers each registration when its subscription was seen, or when its time is up.

    Args:
        loop: whose timer says when.
        timeout: how long, in seconds, to wait for a subscription.
        data_port: the port that the error for a missing subscription names.
        reply: sends a caller its one reply.
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
        # All wait equally long, so they expire in the order in which they came.
        self._waits: dict[Caller, tuple[float, ClientId]] = {}
        self._share = FairShare(MAX_WAITING, MAX_WAITING)
        self._timer_is_set = False

    def register(self, request: RegisterProgressRequest, caller: Caller) -> None:
        """Acknowledge, now or as soon as the subscription is seen."""
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
            self._give_up(caller, client_id, when)

    def unregister(self, request: UnregisterProgressRequest, caller: Caller) -> None:
        """Forget the client and acknowledge that."""
        self.registrations.unregister(request.client_id)
        self._acknowledge(caller, request.client_id)

    def saw(self, frame: bytes, times: int = 1) -> None:
        """Take a frame of the XPUB socket, and acknowledge the registrations that it completes."""
        for caller, client_id in self.registrations.saw(frame, times):
            self._end_wait(caller)
            self._acknowledge(caller, client_id)

    def end(self) -> None:
        """Refuse all registrations that still wait: the server ends."""
        for caller in self.registrations.waiting:
            self._end_wait(caller)
            self.registrations.give_up(caller)
            self._refuse(caller, ErrorCode.SHUTTING_DOWN, "the server is shutting down")

    def _end_wait(self, caller: Caller) -> None:
        del self._waits[caller]
        self._share.release(caller.peer, 1)

    def _set_timer(self) -> None:
        if self._waits and not self._timer_is_set:
            self._timer_is_set = True
            due, _ = next(iter(self._waits.values()))
            self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        now = time.monotonic()
        for caller, (due, client_id) in tuple(islice(self._waits.items(), _MAX_EXPIRED_AT_ONCE)):
            if due > now:
                break
            self._end_wait(caller)
            self._give_up(caller, client_id, f"within {self._timeout:g} s")
        else:
            if self._waits:
                self._loop.post(self._expire)  # Those behind may be due as well.
                return
        self._timer_is_set = False
        self._set_timer()

    def _give_up(self, caller: Caller, client_id: ClientId, when: str) -> None:
        if self.registrations.give_up(caller):
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
